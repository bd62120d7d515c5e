
-- ARGV: now, idle deadline or an empty text to ask only
local kind, revision, finish = record()
if kind == '?' then
  return CORRUPT
end
local active, deadline = last_use()
if kind ~= 'R' or not active then
  return false
end
if #deadline ~= 20 then
  return CORRUPT
end
if ARGV[1] >= deadline or ARGV[1] >= finish then
  return false
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
end
return revision
