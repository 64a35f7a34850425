-- needs _store
-- Reads the entries that have been due for the longest.
--
-- ARGV[3]  until when
-- ARGV[4]  at most how many
-- Returns  what read.lua returns
local uids = redis.call('ZRANGEBYSCORE', DUE, '-inf', ARGV[3], 'LIMIT', 0, ARGV[4])
local names = {}
for _, name in ipairs(values_of(NAMES, uids)) do
  if name then names[#names + 1] = name end
end
return read_entries(names)
