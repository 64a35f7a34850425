-- needs _store _progress _records _outbox
-- Reads unsettled firings: of some entries, or of a page of all.
--
-- ARGV[3]     the page, '0' for the first; '' for some entries
-- ARGV[4...]  the uids of some entries
-- Returns     the next page, '0' after the last; then for each firing: uid, entry, fire time, lane, task,
--             claimed at, replica, attempt, error or nil
local next_page, uids = '0', {}
if ARGV[3] == '' then
  for i = 4, #ARGV do uids[#uids + 1] = ARGV[i] end
  load_boxes(uids)
else
  local page = redis.call('HSCAN', OUTBOX, ARGV[3], 'COUNT', 1000)
  next_page = page[1]
  for i = 1, #page[2], 2 do
    uids[#uids + 1] = page[2][i]
    boxes[page[2][i]] = cmsgpack.unpack(page[2][i + 1])
  end
end

local found = {next_page}
local names = values_of(NAMES, uids)
for i, uid in ipairs(uids) do
  for _, firing in ipairs(boxes[uid] or {}) do
    found[#found + 1] = {uid, names[i], firing[FIRE_TIME], firing[LANE], firing[TASK], firing[CLAIMED_AT],
      firing[REPLICA], firing[ATTEMPT], firing[ERROR]}
  end
end
return found
