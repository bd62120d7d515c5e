
-- ARGV: the owner, until when the creation of its sessions counts for nothing, when that may be forgotten
local key = BASE .. 'bar:{' .. ARGV[1] .. '}'
local old = redis.call('GET', key)
local not_before, finish = ARGV[2], ARGV[3]
if old then
  local earlier, later = string.sub(old, 1, 20), string.sub(old, 21, 40)
  if earlier > not_before then
    not_before = earlier
  end
  if later > finish then
    finish = later
  end
end
-- Nobody said what time it is. The earlier of the two is early enough: the mark stays a little longer than it must.
local server = redis.call('TIME')
local from = math.min(tonumber(ARGV[2]), server[1] * 1000)
put(key, not_before .. finish, time_left(from, finish))
return 1
