
-- ARGV: now, how many messages. Gives the numbers and the count of what is kept, in one text, and the last messages;
-- nothing of them if nothing was ever said.
local alive, answer = living(ARGV[1])
if not alive then
  return answer
end
local length = redis.call('LLEN', KEYS[3])
if length == 0 then
  return {}
end
local kept = length - 1
local count = math.min(tonumber(ARGV[2]), kept)
local found = {}
if count > 0 then
  found = redis.call('LRANGE', KEYS[3], length - count, -1)
end
table.insert(found, 1, redis.call('LINDEX', KEYS[3], 0) .. string.format('%020.0f', kept))
return found
