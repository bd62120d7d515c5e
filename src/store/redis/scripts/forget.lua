
-- ARGV: the owner that the index names, or an empty text. A session that is there keeps its place.
local kind = record(KEYS[1])
if kind == '' or kind == 'T' then
  -- If the server has dropped the record alone.
  redis.call('DEL', KEYS[2], KEYS[3])
  unindex(ARGV[1] ~= '' and ARGV[1] or nil)
end
return 1
