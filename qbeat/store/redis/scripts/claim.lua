-- needs _store _progress _records _outbox _settling
-- Settles, then claims, and pushes the messages of the claims that were won.
--
-- ARGV[3]      the claiming replica
-- ARGV[4]      settlements, packed
-- ARGV[5]      the claims' uids, one after the other
-- ARGV[6]      the claims, packed
-- ARGV[7]      how many lists messages are pushed to
-- ARGV[8...]   the lists, then the messages of the claims' firings, in the same order
-- Returns      a letter for each claim: L lost, Y won, Q won and queued
--
-- The lists are not among KEYS: one that this user may not touch would have Redis refuse the whole batch.
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
check_keys()

local FIRST_LIST, FIRST_MESSAGE = 8, 8 + ARGV[7]
local now, my_number = clock(), number_of(me)
local at, message_at -- where the next claim is read, and the next message
local payloads -- number of the list -> messages
local pushed = {} -- number of the list -> how many messages it has taken
local refusing = {} -- numbers of the lists that have refused messages

local function is_queued(uid)
  for _, firing in ipairs(boxes[uid] or {}) do
    if firing[LANE] == AUTO and (not firing[HELD_SINCE] or firing[REPLICA] ~= me) then return true end
  end
  return false
end

-- Whether a message of the claim that is to be read would be refused.
local function is_refused(count)
  if not next(refusing) then return false end
  local place = at
  for _ = 1, count do
    local _, list, _, following = struct.unpack(FIRING, packed, place)
    if refusing[list] then return true end
    place = following
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
  local queued = won and firings > 0 and (boxes[uid] and is_queued(uid) or is_refused(firings))
  local last = fire(uid, firings, won, queued)
  skip(uid, skips, won)
  if not won then return 'L' end
  state[CURSOR], state[NEXT_FIRE_TIME], state[DUE_AT] = new_cursor, next_fire_time, due_at
  if last then state[RUNS], state[LAST_FIRE_TIME] = state[RUNS] + firings, last end
  changed[uid], moved[uid] = true, true
  return queued and 'Q' or 'Y'
end

-- Settle and claim, in memory, from the start.
local function claim_all()
  states, changed, moved, boxes, opened, added, records, pending = {}, {}, {}, {}, {}, 0, {}, 0
  at, message_at, payloads = 1, FIRST_MESSAGE, {}
  load_states(uids)
  load_boxes(uids)
  settle(endings)
  local letters = {}
  for i, uid in ipairs(claimed) do letters[i] = claim(uid) end
  return table.concat(letters)
end

-- Push to one list; return how many messages it has taken, and the refusal if there was one.
local function push_to(list, messages)
  for first = 1, #messages, CHUNK do
    local last = math.min(first + CHUNK - 1, #messages)
    local answer = redis.pcall('LPUSH', ARGV[FIRST_LIST + list - 1], unpack(messages, first, last))
    if type(answer) == 'table' and answer.err then return first - 1, answer end
  end
  return #messages
end

-- Whether a refusal concerns one list: a key that is none, or that this user may not push to.
local function is_of_the_list(refusal)
  for _, sign in ipairs({'WRONGTYPE', 'NOPERM', 'user executing the script can\'t'}) do
    if string.find(refusal.err, sign, 1, true) then return true end
  end
  return false
end

local function take_back(list)
  if pushed[list] > 0 then redis.call('LPOP', ARGV[FIRST_LIST + list - 1], pushed[list]) end
  pushed[list] = nil
end

-- Push all messages that are not pushed yet.
-- Returns whether the claims have to be made anew, without the lists that refuse; or the refusal of everything.
--
-- Claims that are made anew are won as before, or wait: a list has the messages that it had, or fewer.
local function push()
  local again = false
  for list, count in pairs(pushed) do
    if not payloads[list] or #payloads[list] < count then take_back(list) end
  end
  for list, messages in pairs(payloads) do
    if not pushed[list] then
      local refusal
      pushed[list], refusal = push_to(list, messages)
      if refusal and not is_of_the_list(refusal) then
        for other in pairs(pushed) do take_back(other) end
        return false, refusal
      elseif refusal then
        take_back(list)
        refusing[list], again = true, true
      end
    end
  end
  return again
end

local results, again, refusal
repeat
  results = claim_all()
  again, refusal = push()
until not again
if refusal then return refusal end
write_records()
write_states()
write_due()
write_boxes()
return results
