-- needs _store _progress _records _outbox _settling
-- Writes how firings ended, and gives others back to the outbox.
--
-- ARGV[3]  settlements, packed
-- ARGV[4]  releases, packed
local uids = {}
local settlements, releases = unpack_endings(ARGV[3], uids), unpack_endings(ARGV[4], uids)
load_states(uids)
load_boxes(uids)
check_keys()
settle(settlements)
release(releases)
write_records()
write_states()
write_boxes()
return true
