
-- No ARGV. The two texts of a session; nothing if there is none, whatever time it is.
local text = redis.call('GET', KEYS[1])
local seen = redis.call('GET', KEYS[2])
if not text or not seen then
  return false
end
local kind, _, _, created, owner = head(text)
if kind == 'T' or barred(created, owner) then
  return false
end
return { text, seen }
