-- needs _store _progress
-- Reads where the histories of some entries end.
--
-- ARGV[3...]  uids
-- Returns     for each: its end, NONE if the entry has gone; packed
local uids, ends = {}, {}
for i = 3, #ARGV do uids[#uids + 1] = ARGV[i] end
load_states(uids)
for i, uid in ipairs(uids) do ends[i] = struct.pack('>i8', states[uid] and states[uid][END] or NONE) end
return table.concat(ends)
