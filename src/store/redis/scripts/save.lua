
-- ARGV: expected revision, record, absolute end
local kind, revision, finish = record()
if kind == '?' then
  return CORRUPT
end
local active = last_use()
if kind ~= 'R' or not active then
  return 'gone'
end
if revision ~= ARGV[1] then
  return 'conflict'
end
if finish == ARGV[3] then
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
else
  put(KEYS[1], ARGV[2], time_left(active, ARGV[3]))
end
return 'saved'
