-- KEYS[1] is the record, KEYS[2] the last use. Each time and revision is 20 decimal digits, so that texts compare as
-- the numbers do: a number of Lua is a double, which is exact up to 2^53 only.
local GRACE, TEN_YEARS, MONTH = 300000, 315360000000, 2592000000
local CORRUPT = redis.error_reply('CORRUPT the session cannot be read')

-- 'R' for a session, 'T' for a tombstone, '' for nothing; its revision and its absolute end.
local function record()
  local head = redis.call('GETRANGE', KEYS[1], 0, 40)
  local kind = string.sub(head, 1, 1)
  if kind == 'T' then
    return kind, nil, string.sub(head, 2, 21)
  end
  if kind == '' or (kind == 'R' and #head == 41) then
    return kind, string.sub(head, 2, 21), string.sub(head, 22, 41)
  end
  return '?'
end

-- The last activity and the idle deadline; nothing if the session has no last use any more.
local function last_use()
  local seen = redis.call('GET', KEYS[2])
  if seen then
    return string.sub(seen, 1, 20), string.sub(seen, 21, 40)
  end
end

-- Milliseconds from one time to another, and the grace; nothing if that is as good as for ever.
local function time_left(from, to)
  local left = tonumber(to) - tonumber(from) + GRACE
  if left <= TEN_YEARS then
    return math.max(left, 1)
  end
end

local function put(key, value, left)
  if left then
    redis.call('SET', key, value, 'PX', string.format('%.0f', left))
  else
    redis.call('SET', key, value)
  end
end
