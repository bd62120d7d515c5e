
-- ARGV: now, most messages, most bytes, '1' if no older message may stay, how many messages of each of the four roles
-- were said, when the first and the last (or two empty texts), the bytes of those that are kept, and those. A history
-- is a list: its numbers, and the messages, each with its bytes before it.
local NUMBERS = 140
local alive, answer = living(ARGV[1])
if not alive then
  return answer
end
local numbers = redis.call('LINDEX', KEYS[3], 0)
if numbers and #numbers ~= NUMBERS then
  return CORRUPT
end
if not numbers and ARGV[9] == '' then
  return 0
end

local function digits(number)
  return string.format('%020.0f', number)
end

local function number(place)
  return numbers and tonumber(string.sub(numbers, place * 20 + 1, place * 20 + 20)) or 0
end

local added = #ARGV - 11
local kept, bytes = added, number(6) + tonumber(ARGV[11])
if numbers then
  kept = kept + redis.call('LLEN', KEYS[3]) - 1
end
-- First: before anything is written, a server without memory refuses it.
for place = 12, #ARGV do
  redis.call('RPUSH', KEYS[3], ARGV[place])
end
if numbers then
  redis.call('LPOP', KEYS[3])
end
local most, most_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
while kept > 0 and (kept > most or bytes > most_bytes or (ARGV[4] == '1' and kept > added)) do
  bytes = bytes - tonumber(string.sub(redis.call('LPOP', KEYS[3]), 1, 20))
  kept = kept - 1
end
local first, last = ARGV[9], ARGV[10]
if numbers then
  first = string.sub(numbers, 81, 100)
  last = last ~= '' and last or string.sub(numbers, 101, 120)
end
local totals = ''
for role = 0, 3 do
  totals = totals .. digits(number(role) + tonumber(ARGV[5 + role]))
end
redis.call('LPUSH', KEYS[3], totals .. first .. last .. digits(bytes))
-- It goes with the last use, which a touch keeps.
expire(KEYS[3], stays(KEYS[2]))
return 1
