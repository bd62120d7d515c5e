
-- ARGV: the time at which a session must have been over
local kind, _, finish = record()
local active, deadline = last_use()
if kind ~= 'R' or (active and ARGV[1] < deadline and ARGV[1] < finish) then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
return 1
