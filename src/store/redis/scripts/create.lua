
-- ARGV: now, record, absolute end, last use, idle deadline
local kind, _, finish = record()
if kind ~= '' and not (kind == 'T' and finish <= ARGV[1]) then
  return 0
end
put(KEYS[1], ARGV[2], time_left(ARGV[1], ARGV[3]))
put(KEYS[2], ARGV[4], time_left(ARGV[1], ARGV[5]))
return 1
