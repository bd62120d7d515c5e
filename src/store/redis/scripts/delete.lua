
-- ARGV: now, the end of time
local kind, _, finish, _, owner = record(KEYS[1])
local active, deadline = last_use(KEYS[2])
if kind == '' or kind == 'T' then
  return 0
end
if kind == '?' then
  finish = ARGV[2]
end
bury(finish, owner, time_left(ARGV[1], finish))
if active and ARGV[1] < deadline and ARGV[1] < finish then
  return 1
end
return 0
