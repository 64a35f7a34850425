-- needs _store
-- Reads one page of all entries; an entry that is there all the time is in at least one page.
--
-- ARGV[3]  the page, '0' for the first
-- Returns  the next page, '0' after the last; then what read.lua returns
local page = redis.call('HSCAN', ENTRIES, ARGV[3], 'COUNT', 1000)
local found, uids = {page[1], ''}, {}
for i = 2, #page[2], 2 do
  local definition = page[2][i]
  found[#found + 1] = definition
  uids[#uids + 1] = string.sub(definition, 3, 34)
end
found[2] = packed_states(uids)
return found
