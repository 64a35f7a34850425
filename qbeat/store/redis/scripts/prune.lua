-- needs _store _progress _records
-- Deletes old records, the oldest first; the newest published one of each entry that is still there is kept.
--
-- ARGV[3]  records that end before this instant are old
-- ARGV[4]  at most how many
-- ARGV[5]  how many entries to pass over: those in which nothing was found before
-- Returns  how many went; in how many more entries nothing was found; 1 if there are entries to look at yet
local EXAMINED = 1000 -- entries
local before, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local candidates = redis.call('ZRANGEBYSCORE', STARTS, '-inf', '(' .. ARGV[3], 'WITHSCORES',
  'LIMIT', ARGV[5], EXAMINED)
local uids = {}
for i = 1, #candidates, 2 do uids[#uids + 1] = candidates[i] end
load_states(uids)
check_keys()

-- Where pruning stands in the history of an entry: `place` in the list, `late` records still to go, the `kept`
-- record met on the way, and the `head`, which goes next: its fire time, nil if it is not old or not there.
local function is_kept(past, fire_time, outcome)
  local state = states[past.uid]
  return state ~= nil and outcome == PUBLISHED and fire_time >= state[PUBLISHED_FIRE_TIME]
end

local function open_past(uid)
  local past = {uid = uid, place = 0, gone = 0, late = {}, late_gone = {}, late_place = 1}
  local found = redis.call('ZRANGEBYSCORE', LATE .. uid, '-inf', '(' .. ARGV[3], 'LIMIT', 0, limit + 1)
  for _, packed in ipairs(found) do
    local fire_time, _, outcome = head_of(packed)
    if is_kept(past, fire_time, outcome) then
      past.late_kept = true
    else
      past.late[#past.late + 1] = {fire_time, packed}
    end
  end
  table.sort(past.late, function(one, other) return one[1] < other[1] end)
  return past
end

local function look_at_list(past)
  while true do
    local packed = redis.call('LINDEX', HISTORY .. past.uid, past.place)
    if not packed then return nil end
    local fire_time, last, outcome = head_of(packed)
    if not is_kept(past, fire_time, outcome) then
      past.following = fire_time
      return last < before and fire_time or nil
    end
    past.kept, past.place = packed, past.place + 1
  end
end

local function look(past)
  past.following = nil
  local first, late = look_at_list(past), past.late[past.late_place]
  past.head, past.is_late = first, false
  if late and (not first or late[1] < first) then past.head, past.is_late = late[1], true end
end

local function drop_head(past)
  if past.is_late then
    past.late_gone[#past.late_gone + 1] = past.late[past.late_place][2]
    past.late_place = past.late_place + 1
  else
    past.place, past.gone = past.place + 1, past.gone + 1
  end
  look(past)
end

-- A heap of the entries by their heads: the one whose record goes next stands first.
local heap = {}
local function is_before(one, other)
  if one.head ~= other.head then return one.head < other.head end
  return one.uid < other.uid
end

local function swap(i, j) heap[i], heap[j] = heap[j], heap[i] end

local function push(past)
  local i = #heap + 1
  heap[i] = past
  while i > 1 and is_before(heap[i], heap[math.floor(i / 2)]) do
    swap(i, math.floor(i / 2))
    i = math.floor(i / 2)
  end
end

local function sink()
  local i = 1
  while true do
    local least = i
    for child = 2 * i, 2 * i + 1 do
      if heap[child] and is_before(heap[child], heap[least]) then least = child end
    end
    if least == i then return end
    swap(i, least)
    i = least
  end
end

local function pop()
  heap[1] = heap[#heap]
  heap[#heap] = nil
  if heap[1] then sink() end
end

local examined, pasts = 0, {}
local function examine_next()
  examined = examined + 1
  local past = open_past(uids[examined])
  look(past)
  pasts[examined] = past
  if past.head then push(past) end
end

-- Whether an entry that has not been looked at yet may have an older record than those that have.
local function may_be_first()
  if examined == #uids then return false end
  local start = tonumber(candidates[2 * examined + 2])
  return not heap[1] or start < heap[1].head or (start == heap[1].head and uids[examined + 1] < heap[1].uid)
end

local gone, counts = 0, {}
while gone < limit do
  while may_be_first() do examine_next() end
  local past = heap[1]
  if not past then break end
  tally(counts, past.head, -1)
  drop_head(past)
  gone = gone + 1
  if past.head then sink() else pop() end
end

-- Forget the name of a removed entry that has no history any more.
local function forget(uid)
  local name = redis.call('HGET', NAMES, uid)
  if not name then return end
  redis.call('HDEL', NAMES, uid)
  local left = string.gsub(redis.call('HGET', FORMER, name) or '', uid, '')
  if left == '' then redis.call('HDEL', FORMER, name) else redis.call('HSET', FORMER, name, left) end
end

local function rest_is_kept(past)
  local uid = past.uid
  redis.call('ZREM', STARTS, uid)
  if states[uid] then
    states[uid][STARTED], changed[uid] = NOWHERE, true
  else
    forget(uid)
  end
end

local function close_past(past)
  local key = HISTORY .. past.uid
  if past.gone > 0 then
    redis.call('LTRIM', key, past.place, -1)
    if past.kept then redis.call('LPUSH', key, past.kept) end
  end
  in_chunks('ZREM', LATE .. past.uid, past.late_gone)
  local start = past.following
  for _, packed in ipairs(redis.call('ZRANGE', LATE .. past.uid, 0, 1)) do
    local fire_time, _, outcome = head_of(packed)
    if not is_kept(past, fire_time, outcome) then start = math.min(start or fire_time, fire_time) end
  end
  if not start then
    rest_is_kept(past)
    return 0
  end
  redis.call('ZADD', STARTS, start, past.uid)
  if past.kept or past.late_kept then states[past.uid][STARTED], changed[past.uid] = PAST_KEPT, true end
  return start < before and not past.head and 1 or 0
end

local fruitless = 0
for _, past in ipairs(pasts) do fruitless = fruitless + close_past(past) end
write_states()
write_counts(counts)
return {gone, fruitless, (examined < #uids or #uids == EXAMINED) and 1 or 0}
