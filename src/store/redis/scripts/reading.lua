-- KEYS: the record, the last use and the history of a session, and last the index of all sessions. Each time and
-- revision is 20 decimal digits, so that texts compare as the numbers do: a number of Lua is a double, which is exact
-- up to 2^53 only.
local CORRUPT = redis.error_reply('CORRUPT the session cannot be read')
local INDEX = KEYS[#KEYS]
-- What all keys of this store begin with: that of the index is this and "sessions".
local BASE = string.sub(INDEX, 1, -9)

-- Whose session it is and when it was created, by the beginning of the JSON of a record whose head does not say so.
local function owner_in(json)
  local created, bytes =
    string.match(json, '^{"schema":%d+,"created":(%d+),"absolute_end":%d+,"owner":%[([%d,]+)%]')
  if not created then
    return
  end
  local owner = {}
  for byte in string.gmatch(bytes, '%d+') do
    table.insert(owner, string.format('%02x', byte))
  end
  return string.rep('0', 20 - #created) .. created, table.concat(owner)
end

-- 'S' for a session, 'T' for a tombstone, '' for nothing; its revision and its absolute end, when it was created and
-- whose it is.
local function head(text)
  local kind = string.sub(text, 1, 1)
  if kind == 'T' then
    return kind, nil, string.sub(text, 2, 21)
  end
  if kind == 'S' and #text >= 125 then
    local owner = string.sub(text, 62, 125)
    if string.sub(owner, 1, 1) == '-' then
      owner = nil
    end
    return kind, string.sub(text, 2, 21), string.sub(text, 22, 41), string.sub(text, 42, 61), owner
  end
  if kind == 'R' and #text >= 41 then
    return 'S', string.sub(text, 2, 21), string.sub(text, 22, 41), owner_in(string.sub(text, 42))
  end
  if kind == '' then
    return kind
  end
  return '?'
end

local function record(key)
  local text = redis.call('GETRANGE', key, 0, 124)
  if string.sub(text, 1, 1) == 'R' then
    -- As far as the owner may stand.
    text = redis.call('GETRANGE', key, 0, 299)
  end
  return head(text)
end

-- The last activity and the idle deadline; nothing if the session has no last use any more.
local function last_use(key)
  local seen = redis.call('GET', key)
  if seen then
    return string.sub(seen, 1, 20), string.sub(seen, 21, 40)
  end
end

-- Whether a session was ended with all others of its owner.
local function barred(created, owner)
  if not owner then
    return false
  end
  local bar = redis.call('GET', BASE .. 'bar:{' .. owner .. '}')
  return bar and created <= string.sub(bar, 1, 20)
end

-- Of a session that is alive: its revision, last activity, idle deadline and absolute end. Else nothing, and what to
-- answer.
local function living(now)
  local kind, revision, finish, created, owner = record(KEYS[1])
  if kind == '?' then
    return nil, CORRUPT
  end
  local active, deadline = last_use(KEYS[2])
  if kind ~= 'S' or not active then
    return nil, false
  end
  if #deadline ~= 20 then
    return nil, CORRUPT
  end
  if now >= deadline or now >= finish or barred(created, owner) then
    return nil, false
  end
  return revision, active, deadline, finish
end
