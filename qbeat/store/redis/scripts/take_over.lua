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
local MAX_AHEAD = 60000000 -- as in base.py: what lies further ahead was written before the clock went back
local me, stale_after, limit, now = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), clock()
local examined = math.max(EXAMINED, limit)

local function beyond(instant) return '(' .. string.format('%.0f', instant) end

local uids = {}
local function look_at(index, first, last)
  for _, uid in ipairs(redis.call('ZRANGEBYSCORE', index, first, last, 'LIMIT', 0, examined)) do
    uids[#uids + 1] = uid
  end
end
look_at(HELD, '-inf', beyond(now - stale_after))
look_at(HELD, beyond(now + MAX_AHEAD), '+inf')
look_at(RELEASED, '-inf', now)
look_at(RELEASED, beyond(now + MAX_AHEAD), '+inf')
load_boxes(uids)
check_keys()

local function is_ahead(firing) return firing[HELD_SINCE] and firing[HELD_SINCE] > now + MAX_AHEAD end

local function is_free(firing)
  local not_before = firing[NOT_BEFORE]
  if not firing[HELD_SINCE] then return not_before <= now or not_before > now + MAX_AHEAD end
  return now - firing[HELD_SINCE] > stale_after or is_ahead(firing)
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

-- What is held since before the clock went back is held from now on, and what lies behind it waits.
local firings, owners, waiting = {}, {}, {}
for i = 1, math.min(limit, #free) do
  local uid, firing = free[i][2], free[i][3]
  local lane = uid .. firing[LANE]
  opened[uid] = true
  if is_ahead(firing) then
    firing[HELD_SINCE] = now
    waiting[lane] = true
  elseif not waiting[lane] then
    firing[UNCERTAIN] = firing[UNCERTAIN] or firing[HELD_SINCE] ~= false
    firing[REPLICA], firing[HELD_SINCE], firing[ERROR] = me, now, false
    firing[ATTEMPT] = firing[ATTEMPT] + 1
    firings[#firings + 1], owners[#owners + 1] = firing, uid
  end
end
local taken, names = {}, values_of(NAMES, owners)
for i, uid in ipairs(owners) do
  local firing = firings[i]
  taken[i] = {uid, names[i], firing[FIRE_TIME], firing[LANE], firing[TASK], firing[ATTEMPT],
    firing[UNCERTAIN] and 1 or 0}
end
write_boxes()
return taken
