
-- ARGV: the time at which a session must have been over
local kind, _, finish, _, owner = record(KEYS[1])
local active, deadline = last_use(KEYS[2])
if kind ~= 'S' or (active and ARGV[1] < deadline and ARGV[1] < finish) then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
unindex(owner)
return 1
