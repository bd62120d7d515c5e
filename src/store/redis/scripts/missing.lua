
-- ARGV: sessions. Gives those that have a record and are not in the index.
local missing = {}

local function look(key)
  local found = redis.call('ZRANGEBYLEX', INDEX, '[' .. key, '[' .. key .. '~', 'LIMIT', 0, 1)
  if #found == 0 and record(BASE .. 'record:{' .. key .. '}') == 'S' then
    table.insert(missing, key)
  end
end

for _, key in ipairs(ARGV) do
  pcall(look, key)
end
return missing
