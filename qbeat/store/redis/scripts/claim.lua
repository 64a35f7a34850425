-- needs _store _progress _records _outbox _settling
-- Settles, then claims, and pushes the messages of the claims that were won.
--
-- KEYS[17...]  the lists that messages are pushed to
-- ARGV[3]      the claiming replica
-- ARGV[4]      settlements, packed
-- ARGV[5]      the claims' uids, one after the other
-- ARGV[6]      the claims, packed
-- ARGV[7...]   the messages of their firings, in the same order
-- Returns      a letter for each claim: L lost, Y won, Q won and queued
local CLAIM = '>i8i8i8i8i8I2I4' -- cursor, revision, new cursor, next fire time, due at, firings, skips
local FIRING = '>i8I2I2c0' -- fire time, number of the list of its message or 0, task
local SKIP = '>i8i8i8I2c0' -- first, last, count, reason

local me, packed = ARGV[3], ARGV[6]
local uids, claimed = {}, {}
local endings = unpack_endings(ARGV[4], uids)
for i = 1, #ARGV[5] / 32 do
  claimed[i] = string.sub(ARGV[5], 32 * i - 31, 32 * i)
  add_uid(uids, claimed[i])
end
load_states(uids)
load_boxes(uids)
check_keys()

local at, message_at, now, my_number = 1, 7, clock(), number_of(me)
local payloads = {} -- number of the list -> messages
settle(endings)

local function is_queued(uid)
  for _, firing in ipairs(boxes[uid] or {}) do
    if firing[LANE] == AUTO and (not firing[HELD_SINCE] or firing[REPLICA] ~= me) then return true end
  end
  return false
end

-- Read the firings of a claim; take them in if it is won.
local function fire(uid, count, won, queued)
  local last
  for _ = 1, count do
    local fire_time, list, task, message
    fire_time, list, task, at = struct.unpack(FIRING, packed, at)
    last = fire_time
    if list > 0 then
      message, message_at = ARGV[message_at], message_at + 1
    end
    if won and message and not queued then
      local messages = payloads[list]
      if not messages then
        messages = {}
        payloads[list] = messages
      end
      messages[#messages + 1] = message
      add_pushed(uid, fire_time, task, now, my_number)
    elseif won then
      put_firing(uid, {fire_time, AUTO, task, now, me, not queued and now, 0, 1, false, false})
    end
  end
  return last
end

local function skip(uid, count, won)
  for _ = 1, count do
    local first, last, number, reason
    first, last, number, reason, at = struct.unpack(SKIP, packed, at)
    if won then add_skip(uid, first, last, number, reason, now, my_number) end
  end
end

local function claim(uid)
  local cursor, revision, new_cursor, next_fire_time, due_at, firings, skips
  cursor, revision, new_cursor, next_fire_time, due_at, firings, skips, at = struct.unpack(CLAIM, packed, at)
  local state = states[uid]
  local won = state and state[RETIRED_AT] == NONE and state[CURSOR] == cursor and state[REVISION] == revision
  local queued = won and firings > 0 and boxes[uid] and is_queued(uid)
  local last = fire(uid, firings, won, queued)
  skip(uid, skips, won)
  if not won then return 'L' end
  state[CURSOR], state[NEXT_FIRE_TIME], state[DUE_AT] = new_cursor, next_fire_time, due_at
  if last then state[RUNS], state[LAST_FIRE_TIME] = state[RUNS] + firings, last end
  changed[uid], moved[uid] = true, true
  return queued and 'Q' or 'Y'
end

-- Push all messages, or none: what was pushed before a refusal is taken back.
local function push()
  local pushed = {}
  for list, messages in pairs(payloads) do
    local key = KEYS[FIRST_MESSAGE_KEY + list - 1]
    for first = 1, #messages, CHUNK do
      local last = math.min(first + CHUNK - 1, #messages)
      local answer = redis.pcall('LPUSH', key, unpack(messages, first, last))
      if type(answer) == 'table' and answer.err then
        for _, done in ipairs(pushed) do redis.call('LPOP', done[1], done[2]) end
        return answer
      end
      pushed[#pushed + 1] = {key, last - first + 1}
    end
  end
end

local results = {}
for i, uid in ipairs(claimed) do results[i] = claim(uid) end
local refusal = push()
if refusal then return refusal end
write_records()
write_states()
write_due()
write_boxes()
return table.concat(results)
