-- needs _store _progress _records _outbox
-- Takes firings that nobody holds, or nobody has settled for long, for a replica to publish.
--
-- ARGV[3]  the replica
-- ARGV[4]  after how many microseconds a held firing counts as stale
-- ARGV[5]  at most how many to take
-- Returns  for each firing: uid, entry, fire time, lane, task, attempt, 1 if uncertain
--
-- Of more entries than EXAMINED only those that have been free for the longest are looked at.
local EXAMINED = 2000
local me, stale_after, limit, now = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), clock()
local examined = math.max(EXAMINED, limit)

local uids = redis.call('ZRANGEBYSCORE', HELD, '-inf', '(' .. string.format('%.0f', now - stale_after),
  'LIMIT', 0, examined)
for _, uid in ipairs(redis.call('ZRANGEBYSCORE', RELEASED, '-inf', now, 'LIMIT', 0, examined)) do
  uids[#uids + 1] = uid
end
load_boxes(uids)
check_keys()

local function is_free(firing)
  if not firing[HELD_SINCE] then return firing[NOT_BEFORE] <= now end
  return now - firing[HELD_SINCE] > stale_after
end

local free = {}
for uid, box in pairs(boxes) do
  local blocked = {}
  table.sort(box, by_fire_time)
  for _, firing in ipairs(box) do
    if blocked[firing[LANE]] or not is_free(firing) then
      blocked[firing[LANE]] = true
    else
      free[#free + 1] = {firing[FIRE_TIME], uid, firing}
    end
  end
end
table.sort(free, function(one, other)
  if one[1] ~= other[1] then return one[1] < other[1] end
  return one[2] < other[2]
end)

local taken, owners = {}, {}
for i = 1, math.min(limit, #free) do
  local uid, firing = free[i][2], free[i][3]
  firing[UNCERTAIN] = firing[UNCERTAIN] or firing[HELD_SINCE] ~= false
  firing[REPLICA], firing[HELD_SINCE], firing[ERROR] = me, now, false
  firing[ATTEMPT] = firing[ATTEMPT] + 1
  opened[uid] = true
  owners[i] = uid
end
local names = values_of(NAMES, owners)
for i, uid in ipairs(owners) do
  local firing = free[i][3]
  taken[i] = {uid, names[i], firing[FIRE_TIME], firing[LANE], firing[TASK], firing[ATTEMPT],
    firing[UNCERTAIN] and 1 or 0}
end
write_boxes()
return taken
