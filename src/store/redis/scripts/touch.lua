
-- ARGV: now, idle deadline or an empty text to ask only
local revision, active, deadline, finish = living(ARGV[1])
if not revision then
  return active
end
if ARGV[2] ~= '' then
  local later, moved = active, deadline
  if ARGV[1] > later then
    later = ARGV[1]
  end
  if ARGV[2] > moved then
    moved = ARGV[2]
  end
  if moved > finish then
    moved = finish
  end
  local text, left = later .. moved, time_left(ARGV[1], moved)
  if not pcall(put, KEYS[2], text, left) then
    -- Memory may be full, and this takes no more of it: what frees some is allowed, and the script may go on then.
    redis.call('DEL', KEYS[2])
    put(KEYS[2], text, left)
  end
  expire(KEYS[3], left)
end
return revision
