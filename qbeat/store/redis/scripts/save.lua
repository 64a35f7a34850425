-- needs _store _progress _records
-- Writes entries whose writers read what is there.
--
-- ARGV[3]      the changes, packed
-- ARGV[4...]   their entries' names
-- Returns      a digit for each change: 1 if it was written
--
-- A definition is a JSON array that begins with the entry's uid; the other fields are only the client's.
local CHANGED = '>c32i8i8i8i8i8i8i8i8I4c0I4' -- see below; the last is the number of skips
local SKIP = '>i8i8i8I2c0' -- first, last, count, reason

local packed, names, changes, uids, at = ARGV[3], {}, {}, {}, 1
for i = 4, #ARGV do names[#names + 1] = ARGV[i] end

for i = 1, #names do
  local change = {struct.unpack(CHANGED, packed, at)}
  local skips = {}
  at = change[12]
  for n = 1, change[11] do
    skips[n] = {struct.unpack(SKIP, packed, at)}
    at = skips[n][5]
  end
  changes[i] = {
    uid = change[1], expected_revision = change[2], expected_cursor = change[3], cursor = change[4],
    next_fire_time = change[5], due_at = change[6], retired_at = change[7], runs = change[8],
    last_fire_time = change[9], definition = change[10], skips = skips,
  }
  uids[i] = change[1]
end

local definitions = {} -- name -> definition
for i, definition in ipairs(values_of(ENTRIES, names)) do definitions[names[i]] = definition end
local names_of = {} -- uid -> name, of removed entries that have a history too
for i, name in ipairs(values_of(NAMES, uids)) do names_of[uids[i]] = name end
load_states(uids)
check_keys()
local now, number = clock(), tonumber(redis.call('HGET', META, 'change')) + 1
local written, made = {}, {} -- names

-- An entry that was removed and comes back under its old uid goes on with its old history.
local function new_state(uid, change)
  local past = names_of[uid] and end_of_past(uid)
  return {change.cursor, 0, NONE, NONE, NONE, change.runs, change.last_fire_time, NONE, NONE, number,
    past or NONE, past and EVERYWHERE or NOWHERE}
end

local function state_for(name, change)
  local uid, definition = change.uid, definitions[name]
  local state = states[uid]
  if change.expected_revision == NONE then
    if definition or state then return end
    made[name] = uid
    return new_state(uid, change)
  end
  if definition and string.sub(definition, 3, 34) == uid and state[REVISION] == change.expected_revision
    and state[CURSOR] == change.expected_cursor then
    return state
  end
end

local function save(name, change)
  local state = state_for(name, change)
  if not state then return '0' end
  state[CURSOR], state[REVISION], state[CHANGE] = change.cursor, state[REVISION] + 1, number
  state[NEXT_FIRE_TIME], state[DUE_AT] = change.next_fire_time, change.due_at
  state[RETIRED_AT] = change.retired_at
  states[change.uid], definitions[name] = state, change.definition
  changed[change.uid], moved[change.uid], written[name] = true, true, true
  for _, skip in ipairs(change.skips) do
    add_skip(change.uid, skip[1], skip[2], skip[3], skip[4], now, 0)
  end
  return '1'
end

local results = {}
for i, name in ipairs(names) do results[i] = save(name, changes[i]) end
if next(written) then
  local what, when, whose = {}, {}, {}
  for name in pairs(written) do
    what[#what + 1] = name
    what[#what + 1] = definitions[name]
    when[#when + 1] = number
    when[#when + 1] = name
  end
  for name, uid in pairs(made) do
    whose[#whose + 1] = uid
    whose[#whose + 1] = name
  end
  in_chunks('HSET', ENTRIES, what)
  in_chunks('HSET', NAMES, whose)
  in_chunks('ZADD', CHANGES, when)
  write_records()
  write_states()
  write_due()
  redis.call('HSET', META, 'change', number)
end
return table.concat(results)
