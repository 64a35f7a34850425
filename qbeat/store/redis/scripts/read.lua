-- needs _store
-- Reads entries by name.
--
-- ARGV[3...]  names
-- Returns     the packed states of those that are there, one after the other, then their definitions
local names = {}
for i = 3, #ARGV do names[#names + 1] = ARGV[i] end
return read_entries(names)
