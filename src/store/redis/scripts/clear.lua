
-- ARGV: now
local alive, answer = living(ARGV[1])
if not alive then
  return answer
end
redis.call('DEL', KEYS[3])
return 1
