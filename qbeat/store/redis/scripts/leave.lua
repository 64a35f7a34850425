-- needs _store _progress _records _outbox
-- Forgets a replica, and releases as uncertain what it holds in one page of the outbox.
--
-- ARGV[3]  the replica
-- ARGV[4]  the page, '0' for the first
-- Returns  the next page, '0' after the last
local me = ARGV[3]
local page = redis.call('HSCAN', OUTBOX, ARGV[4], 'COUNT', 1000)
check_keys()
for i = 1, #page[2], 2 do
  local uid, box = page[2][i], cmsgpack.unpack(page[2][i + 1])
  boxes[uid] = box
  for _, firing in ipairs(box) do
    if firing[REPLICA] == me and firing[HELD_SINCE] then
      release_firing(firing, 0, false, true)
      opened[uid] = true
    end
  end
end
redis.call('HDEL', REPLICAS, me)
write_boxes()
return page[1]
