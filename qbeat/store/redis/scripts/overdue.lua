-- needs _store
-- Reads the entries that have been due for the longest.
--
-- ARGV[3]  until when
-- ARGV[4]  at most how many
-- Returns  what read.lua returns
local uids = redis.call('ZRANGEBYSCORE', DUE, '-inf', ARGV[3], 'LIMIT', 0, ARGV[4])
local found = {table.concat(values_of(STATES, uids))}
for _, definition in ipairs(values_of(ENTRIES, values_of(NAMES, uids))) do found[#found + 1] = definition end
return found
