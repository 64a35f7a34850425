-- The outbox: for each entry that has unsettled firings a packed list of them.
--
-- HELD and RELEASED say from when on the first firing of an entry's lane can be taken over; the firings
-- behind it wait for it and are in no index. A firing is an array:
local FIRE_TIME, LANE, TASK, CLAIMED_AT, REPLICA = 1, 2, 3, 4, 5
local HELD_SINCE = 6 -- false once released
local NOT_BEFORE, ATTEMPT, UNCERTAIN, ERROR = 7, 8, 9, 10

local OUTCOMES = {'published', 'skipped', 'failed'}
local boxes = {} -- uid -> firings
local opened = {} -- uids whose firings are to be written
local added = 0 -- how many more firings there are than before

local function load_boxes(uids)
  if redis.call('HLEN', OUTBOX) == 0 then return end
  local found = values_of(OUTBOX, uids)
  for i = 1, #uids do
    if found[i] then boxes[uids[i]] = cmsgpack.unpack(found[i]) end
  end
end

local function put_firing(uid, firing)
  local box = boxes[uid]
  if not box then
    box = {}
    boxes[uid] = box
  end
  box[#box + 1] = firing
  opened[uid] = true
  added = added + 1
end

local function find_firing(uid, lane, fire_time)
  for place, firing in ipairs(boxes[uid] or {}) do
    if firing[FIRE_TIME] == fire_time and firing[LANE] == lane then return firing, place end
  end
end

local function by_fire_time(one, other) return one[FIRE_TIME] < other[FIRE_TIME] end

-- The first firing of each lane.
local function heads_of(box)
  if #box == 1 then return box end
  table.sort(box, by_fire_time)
  local heads, seen = {}, {}
  for _, firing in ipairs(box) do
    if not seen[firing[LANE]] then
      seen[firing[LANE]] = true
      heads[#heads + 1] = firing
    end
  end
  return heads
end

local function index_box(uid, box, indexes)
  local held, released
  for _, firing in ipairs(heads_of(box)) do
    if firing[HELD_SINCE] then
      held = math.min(held or firing[HELD_SINCE], firing[HELD_SINCE])
    else
      released = math.min(released or firing[NOT_BEFORE], firing[NOT_BEFORE])
    end
  end
  for name, score in pairs({held = held or false, released = released or false}) do
    local index = indexes[name]
    if score then
      index.added[#index.added + 1] = score
      index.added[#index.added + 1] = uid
    else
      index.gone[#index.gone + 1] = uid
    end
  end
end

local function write_boxes()
  local full, empty = {}, {}
  local indexes = {held = {added = {}, gone = {}}, released = {added = {}, gone = {}}}
  for uid in pairs(opened) do
    local box = boxes[uid]
    if #box > 0 then
      full[#full + 1] = uid
      full[#full + 1] = cmsgpack.pack(box)
    else
      empty[#empty + 1] = uid
    end
    index_box(uid, box, indexes)
  end
  in_chunks('HSET', OUTBOX, full)
  in_chunks('HDEL', OUTBOX, empty)
  for name, key in pairs({held = HELD, released = RELEASED}) do
    in_chunks('ZADD', key, indexes[name].added)
    in_chunks('ZREM', key, indexes[name].gone)
  end
  if added ~= 0 then redis.call('HINCRBY', META, 'unsettled', added) end
end

-- Put how a firing ended into the history.
local function record_end(uid, firing, outcome, published_at, reason)
  local kind, rest = outcome, {}
  local head = struct.pack('>i8I4I2', firing[CLAIMED_AT], number_of(firing[REPLICA]), firing[ATTEMPT])
  if published_at ~= NONE then
    kind, rest[#rest + 1] = kind + WITH_PUBLISHED_AT, struct.pack('>i8', published_at)
  end
  if firing[LANE] ~= AUTO then
    kind, rest[#rest + 1] = kind + WITH_LANE, struct.pack('>I2', #firing[LANE]) .. firing[LANE]
  end
  if reason then
    kind, rest[#rest + 1] = kind + WITH_REASON, struct.pack('>I4', #reason) .. reason
  end
  local packed = struct.pack('>i8B', firing[FIRE_TIME], kind) .. head .. table.concat(rest) .. firing[TASK]
  local published = outcome == PUBLISHED and published_at
  add_record(uid, firing[FIRE_TIME], firing[FIRE_TIME], published, packed)
end

local function release_firing(firing, not_before, cause, uncertain)
  firing[HELD_SINCE], firing[NOT_BEFORE], firing[ERROR] = false, not_before, cause
  firing[UNCERTAIN] = firing[UNCERTAIN] or uncertain
end
