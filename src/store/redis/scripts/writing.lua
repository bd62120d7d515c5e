
local GRACE, TEN_YEARS, MONTH = 300000, 315360000000, 2592000000

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

-- Milliseconds for which a key is still there; nothing if that is for ever. In its last one the server says 0, which it
-- takes from nobody.
local function stays(key)
  local left = redis.call('PTTL', key)
  return left >= 0 and math.max(left, 1) or nil
end

-- A key lives as long as what is in it, as far as it is there.
local function expire(key, left)
  if left then
    redis.call('PEXPIRE', key, string.format('%.0f', left))
  else
    redis.call('PERSIST', key)
  end
end
