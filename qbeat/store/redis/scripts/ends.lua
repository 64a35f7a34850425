-- needs _store _progress
-- Reads one page of where the histories of all entries end, of removed ones too; an entry without any may miss.
--
-- ARGV[3]  the page, '0' for the first
-- Returns  the next page, '0' after the last; the uids, one after the other; their ends, packed: UNKNOWN for
--          those that were removed
local UNKNOWN = -NONE
local page = redis.call('HSCAN', NAMES, ARGV[3], 'COUNT', 1000)
local uids, found, ends = {}, {}, {}
for i = 1, #page[2], 2 do uids[#uids + 1] = page[2][i] end
load_states(uids)
for _, uid in ipairs(uids) do
  local state = states[uid]
  if not state or state[END] ~= NONE then
    found[#found + 1] = uid
    ends[#ends + 1] = struct.pack('>i8', state and state[END] or UNKNOWN)
  end
end
return {page[1], table.concat(found), table.concat(ends)}
