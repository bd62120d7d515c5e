
-- ARGV: now, the member to go on after or an empty text, how many to look at. Gives the last one, if there may be more;
-- how many sessions are alive; and the members whose sessions are not there any more.
local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local members = redis.call('ZRANGEBYLEX', INDEX, from, '+', 'LIMIT', 0, ARGV[3])
local alive, stale = 0, {}

local function look(member)
  local key = string.sub(member, 1, 64)
  local kind, _, finish, created, owner = record(BASE .. 'record:{' .. key .. '}')
  if kind == '' or kind == 'T' then
    table.insert(stale, member)
  elseif kind == 'S' then
    local active, deadline = last_use(BASE .. 'seen:{' .. key .. '}')
    if active and ARGV[1] < deadline and ARGV[1] < finish and not barred(created, owner) then
      alive = alive + 1
    end
  end
end

for _, member in ipairs(members) do
  -- A key of another kind is no session, and does not stop the rest.
  pcall(look, member)
end
local more = #members == tonumber(ARGV[3]) and members[#members] or ''
return { more, alive, stale }
