-- needs _store
-- Reads entries by name.
--
-- ARGV[3...]  names
-- Returns     the packed states of those that are there, one after the other, then their definitions
local names, found, uids = {}, {''}, {}
for i = 3, #ARGV do names[#names + 1] = ARGV[i] end
for _, definition in ipairs(values_of(ENTRIES, names)) do
  if definition then
    found[#found + 1] = definition
    uids[#uids + 1] = string.sub(definition, 3, 34)
  end
end
found[1] = table.concat(values_of(STATES, uids))
return found
