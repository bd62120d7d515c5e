
local function add(set, member, left)
  local present = redis.call('PTTL', set)
  redis.call('ZADD', set, 0, member)
  -- A set stays as long as the longest of its sessions may.
  if not left or present == -2 or (present >= 0 and present < left) then
    expire(set, left)
  end
end

-- The name of the session in the index.
local function digest()
  return string.sub(KEYS[1], -65, -2)
end

local function index(owner, left)
  add(INDEX, digest() .. (owner or ''), left)
  if owner then
    add(BASE .. 'owner:{' .. owner .. '}', digest(), left)
  end
end

local function unindex(owner)
  redis.call('ZREM', INDEX, digest() .. (owner or ''))
  if owner then
    redis.call('ZREM', BASE .. 'owner:{' .. owner .. '}', digest())
  end
end

-- Leaves a tombstone in place of a session.
local function bury(finish, owner, left)
  -- First: what frees memory is allowed when there is none left, and the script may go on then.
  redis.call('DEL', KEYS[2], KEYS[3])
  put(KEYS[1], 'T' .. finish, left or MONTH)
  unindex(owner)
end
