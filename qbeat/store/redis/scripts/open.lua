-- Marks a store that is new, or says what version it has.
--
-- KEYS     the store's keys, in the order of keys.py
-- ARGV[1]  '1' to make a new store; '' to change nothing
-- ARGV[2]  the version of the data that the calling program writes
-- ARGV[3]  the oldest version of programs that can use it
-- Returns  the store's version and the oldest version of programs that can use it; version 0 if there is none
--
-- The mark is written even if it is there: a store that cannot be written to is found out at once.
local META = KEYS[1]
for i = 1, 13 do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'none' and kind ~= ((i == 5 or i == 6 or (i > 7 and i < 11)) and 'zset' or 'hash') then
    error('WRONGTYPE ' .. KEYS[i])
  end
end
local mark = redis.call('HMGET', META, 'version', 'compatible_from')
if not mark[1] then
  for i = 1, 13 do
    if redis.call('EXISTS', KEYS[i]) == 1 then error('QBEAT_UNMARKED') end
  end
  if ARGV[1] == '' then return {0, 0} end
  redis.call('HSET', META, 'version', ARGV[2], 'compatible_from', ARGV[3], 'change', 0, 'unsettled', 0)
  return {tonumber(ARGV[2]), tonumber(ARGV[3])}
end
if ARGV[1] ~= '' then redis.call('HSET', META, 'version', mark[1]) end
return {tonumber(mark[1]), tonumber(mark[2])}
