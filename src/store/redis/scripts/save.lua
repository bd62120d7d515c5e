
-- ARGV: expected revision, record, absolute end
local kind, revision = record()
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
-- Nobody said what time it is. Since the last use is early enough: the record stays a little longer than it must.
put(KEYS[1], ARGV[2], time_left(active, ARGV[3]))
return 'saved'
