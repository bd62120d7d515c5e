
-- ARGV: now, the end of time
local kind, _, finish = record()
local active, deadline = last_use()
if kind == '' or kind == 'T' then
  return 0
end
if kind == '?' then
  finish = ARGV[2]
end
-- First: what frees memory is allowed when there is none left, and the script may go on then.
redis.call('DEL', KEYS[2])
put(KEYS[1], 'T' .. finish, time_left(ARGV[1], finish) or MONTH)
if active and ARGV[1] < deadline and ARGV[1] < finish then
  return 1
end
return 0
