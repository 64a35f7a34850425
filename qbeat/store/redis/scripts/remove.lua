-- needs _store _progress _records _outbox
-- Deletes entries; their unsettled firings are superseded, their history stays.
--
-- ARGV[3...]  names, each once
-- Returns     how many entries there were
local wanted, names, uids = {}, {}, {}
for i = 3, #ARGV do wanted[#wanted + 1] = ARGV[i] end
for i, definition in ipairs(values_of(ENTRIES, wanted)) do
  if definition then
    names[#names + 1] = wanted[i]
    uids[#uids + 1] = string.sub(definition, 3, 34)
  end
end
if #uids == 0 then return 0 end
load_states(uids)
load_boxes(uids)
check_keys()

for uid, box in pairs(boxes) do
  for _, firing in ipairs(box) do record_end(uid, firing, SKIPPED, NONE, 'superseded') end
  added = added - #box
  boxes[uid], opened[uid] = {}, true
end
write_records()
write_boxes()

-- Remember whose the history is, and have all of it pruned when its time comes.
local former = values_of(FORMER, names)
for i, uid in ipairs(uids) do
  if redis.call('EXISTS', HISTORY .. uid, LATE .. uid) > 0 then
    local state = states[uid]
    if state[STARTED] ~= EVERYWHERE then lower(STARTS, {state[PUBLISHED_FIRE_TIME], uid}) end
    redis.call('HSET', FORMER, names[i], (former[i] or '') .. uid)
  else
    redis.call('HDEL', NAMES, uid)
  end
end
in_chunks('HDEL', ENTRIES, names)
in_chunks('HDEL', STATES, uids)
in_chunks('ZREM', DUE, uids)
in_chunks('ZREM', CHANGES, names)
redis.call('HINCRBY', META, 'change', 1)
return #uids
