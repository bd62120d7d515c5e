
-- ARGV: expected revision, record, absolute end
local kind, revision, _, created, owner = record(KEYS[1])
if kind == '?' then
  return CORRUPT
end
local active = last_use(KEYS[2])
if kind ~= 'S' or not active or barred(created, owner) then
  return 'gone'
end
if revision ~= ARGV[1] then
  return 'conflict'
end
-- Nobody said what time it is. Since the last use is early enough: the record stays a little longer than it must.
local left = time_left(active, ARGV[3])
put(KEYS[1], ARGV[2], left)
local _, _, _, _, later_owner = head(ARGV[2])
if later_owner ~= owner then
  unindex(owner)
end
index(later_owner, left)
return 'saved'
