
-- ARGV: now, record, absolute end, last use, idle deadline
local kind, _, finish = record(KEYS[1])
local _, _, _, created, owner = head(ARGV[2])
if barred(created, owner) then
  return 'gone'
end
if kind ~= '' and not (kind == 'T' and finish <= ARGV[1]) then
  return 'exists'
end
local left = time_left(ARGV[1], ARGV[3])
put(KEYS[1], ARGV[2], left)
put(KEYS[2], ARGV[4], time_left(ARGV[1], ARGV[5]))
redis.call('DEL', KEYS[3])
index(owner, left)
return 'created'
