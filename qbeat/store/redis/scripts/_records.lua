-- The history: for each entry a list of packed records in the order of their fire times, and beside it a
-- sorted set, by their ends, of the few that came late. STARTS knows from when on there may be something to
-- prune, and has no entry with only its newest published record. COUNTS has, for each span of time, how many
-- records begin in it. There is no index by where histories end, though readers could use one: to move an entry
-- in it with each record would be a good part of what a claim costs.
local SPAN = 600000000
local PUBLISHED, SKIPPED = 1, 2 -- outcomes; 3 is a failure
local RUN, WITH_PUBLISHED_AT, PUBLISHED_WHEN_CLAIMED, WITH_LANE, WITH_REASON = 4, 8, 16, 32, 64
local AUTO = 'auto'

local numbers = {} -- replica -> the number that stands for it in records
local records, pending = {}, 0 -- uid, fire time, last fire time, published_at or false, packed record

local function number_of(replica)
  if not replica then return 0 end
  local number = numbers[replica]
  if not number then
    number = redis.call('HGET', NUMBERS, replica)
    if not number then
      number = redis.call('HINCRBY', META, 'replica_count', 1)
      redis.call('HSET', NUMBERS, replica, number)
    end
    number = tonumber(number)
    numbers[replica] = number
  end
  return number
end

local function add_record(uid, fire_time, last, published_at, packed)
  records[pending + 1], records[pending + 2], records[pending + 3] = uid, fire_time, last
  records[pending + 4], records[pending + 5] = published_at, packed
  pending = pending + 5
end

local function add_skip(uid, first, last, count, reason, at, replica)
  local kind, run = SKIPPED + WITH_REASON, ''
  if last ~= first or count ~= 1 then
    kind, run = kind + RUN, struct.pack('>i8i8', last, count)
  end
  local rest = struct.pack('>i8I4I2I4', at, replica, 1, #reason)
  add_record(uid, first, last, false, struct.pack('>i8B', first, kind) .. run .. rest .. reason)
end

-- What a claim published in the same step.
local function add_pushed(uid, fire_time, task, at, replica)
  local kind = PUBLISHED + PUBLISHED_WHEN_CLAIMED
  add_record(uid, fire_time, fire_time, at, struct.pack('>i8Bi8I4I2', fire_time, kind, at, replica, 1) .. task)
end

-- Where a packed record begins and ends, and its outcome.
local function head_of(packed)
  local fire_time, kind = struct.unpack('>i8B', packed)
  local last = fire_time
  if kind % (2 * RUN) >= RUN then last = struct.unpack('>i8', packed, 10) end
  return fire_time, last, kind % RUN
end

-- Have pruning look at a record that has come and, if it is published, at the one that was kept until then.
local function note_start(starts, state, uid, fire_time, is_newest)
  local kept = state[PUBLISHED_FIRE_TIME]
  if state[STARTED] == NOWHERE then
    starts[#starts + 1] = fire_time
    starts[#starts + 1] = uid
    state[STARTED] = kept == NONE and EVERYWHERE or PAST_KEPT
  end
  if is_newest and state[STARTED] == PAST_KEPT then
    starts[#starts + 1] = kept
    starts[#starts + 1] = uid
    state[STARTED] = EVERYWHERE
  end
end

-- How the history of a removed entry ends: NONE if nothing is left of it.
local function end_of_past(uid)
  local newest = redis.call('LINDEX', HISTORY .. uid, -1)
  local last = newest and select(2, head_of(newest)) or NONE
  local late = redis.call('ZREVRANGE', LATE .. uid, 0, 0, 'WITHSCORES')[2]
  return math.max(last, tonumber(late or NONE))
end

local function tally(counts, fire_time, number)
  local span = math.floor(fire_time / SPAN)
  counts[span] = (counts[span] or 0) + number
end

local function write_counts(counts)
  for place, number in pairs(counts) do
    local span = string.format('%.0f', place)
    if redis.call('HINCRBY', COUNTS, span, number) <= 0 then redis.call('HDEL', COUNTS, span) end
  end
end

local function write_records()
  local starts, counts = {}, {}
  for at = 1, pending, 5 do
    local uid, fire_time, last, published_at = records[at], records[at + 1], records[at + 2], records[at + 3]
    local state = states[uid]
    local is_newest = published_at and state[PUBLISHED_FIRE_TIME] <= fire_time
    if state[STARTED] ~= EVERYWHERE then note_start(starts, state, uid, fire_time, is_newest) end
    if fire_time > state[END] then
      redis.call('RPUSH', HISTORY .. uid, records[at + 4])
    else
      redis.call('ZADD', LATE .. uid, last, records[at + 4])
      starts[#starts + 1] = fire_time
      starts[#starts + 1] = uid
    end
    if last > state[END] then state[END] = last end
    if is_newest then state[PUBLISHED_FIRE_TIME], state[PUBLISHED_AT] = fire_time, published_at end
    changed[uid] = true
    tally(counts, fire_time, 1)
  end
  lower(STARTS, starts)
  write_counts(counts)
end
