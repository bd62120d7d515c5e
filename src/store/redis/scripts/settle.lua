
-- No ARGV. Ends the session if it was ended with all others of its owner; else it is in the index from now on.
local kind, _, finish, created, owner = record(KEYS[1])
if kind ~= 'S' then
  return 0
end
local left = stays(KEYS[1])
if barred(created, owner) then
  -- The tombstone stays as long as the record would have.
  bury(finish, owner, left)
  return 1
end
index(owner, left)
return 0
