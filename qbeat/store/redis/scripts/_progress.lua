-- How far entries have come: one packed value for each, read and written many at a time.
local CURSOR, REVISION, NEXT_FIRE_TIME, DUE_AT, RETIRED_AT, RUNS, LAST_FIRE_TIME = 1, 2, 3, 4, 5, 6, 7
local PUBLISHED_FIRE_TIME, PUBLISHED_AT, CHANGE = 8, 9, 10
local END = 11 -- where the entry's history, in its order, ends
local STARTED = 12 -- what STARTS knows of the entry's history:
local NOWHERE, EVERYWHERE, PAST_KEPT = 0, 1, 2 -- nothing; its start; its start but for the record that is kept
local STATE, STATE_FIELDS = '>i8i8i8i8i8i8i8i8i8i8i8i8', 12

local states = {} -- uid -> fields
local changed = {} -- uids whose fields are to be written
local moved = {} -- uids whose place among the due is to be written

local function load_states(uids)
  local found = values_of(STATES, uids)
  for i = 1, #uids do
    if found[i] and #found[i] == STATE_SIZE then states[uids[i]] = {struct.unpack(STATE, found[i])} end
  end
end

local function write_states()
  local values, n = {}, 0
  for uid in pairs(changed) do
    values[n + 1], values[n + 2] = uid, struct.pack(STATE, unpack(states[uid], 1, STATE_FIELDS))
    n = n + 2
  end
  in_chunks('HSET', STATES, values)
end

local function write_due()
  local added, gone = {}, {}
  for uid in pairs(moved) do
    local state = states[uid]
    if state[DUE_AT] ~= NONE and state[RETIRED_AT] == NONE then
      added[#added + 1] = state[DUE_AT]
      added[#added + 1] = uid
    else
      gone[#gone + 1] = uid
    end
  end
  in_chunks('ZADD', DUE, added)
  in_chunks('ZREM', DUE, gone)
end
