-- What the scripts begin with: keys, clock, and the check that the calling program may use the store.
--
-- KEYS     the store's keys, in the order of keys.py; HISTORY and LATE are followed by an entry's uid
-- ARGV[1]  the instant to take for now, or '' for Redis's own clock
-- ARGV[2]  the version of the data that the calling program knows
--
-- Instants are numbers of microseconds; NONE stands for Python's None. A script reads everything before its
-- first write, and that write is one that a Redis without memory refuses: so it happens whole or not at all.
local META, ENTRIES, NAMES, STATES, CHANGES, DUE = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local OUTBOX, HELD, RELEASED = KEYS[7], KEYS[8], KEYS[9]
local STARTS, FORMER = KEYS[10], KEYS[11]
local REPLICAS, NUMBERS, HISTORY, LATE, COUNTS = KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16]
local NONE = -9007199254740992
local CHUNK = 4000 -- how many values Lua can hand to one call; even, so that pairs stay together

local marked = redis.call('HGET', META, 'compatible_from')
if not marked then error('QBEAT_EMPTIED') end
if tonumber(marked) > tonumber(ARGV[2]) then error('QBEAT_NEWER') end

local function clock()
  if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function in_chunks(command, key, values)
  for first = 1, #values, CHUNK do
    redis.call(command, key, unpack(values, first, math.min(first + CHUNK - 1, #values)))
  end
end

-- Give members of a sorted set lower scores than they have.
local function lower(key, values)
  for first = 1, #values, CHUNK do
    redis.call('ZADD', key, 'LT', unpack(values, first, math.min(first + CHUNK - 1, #values)))
  end
end

-- The values of a hash's fields, false for those that are not there.
local function values_of(key, fields)
  local values = {}
  for first = 1, #fields, CHUNK do
    local found = redis.call('HMGET', key, unpack(fields, first, math.min(first + CHUNK - 1, #fields)))
    for i = 1, #found do values[first + i - 1] = found[i] end
  end
  return values
end

-- The packed states of entries, one after the other; all bits are set where there is none that can be read.
local STATE_SIZE = 96
local function packed_states(uids)
  local states = values_of(STATES, uids)
  for i = 1, #states do
    if not states[i] or #states[i] ~= STATE_SIZE then states[i] = string.rep('\255', STATE_SIZE) end
  end
  return table.concat(states)
end

-- The packed states of the entries of some names, then their definitions.
local function read_entries(names)
  local found, uids = {''}, {}
  for _, definition in ipairs(values_of(ENTRIES, names)) do
    if definition then
      found[#found + 1] = definition
      uids[#uids + 1] = string.sub(definition, 3, 34)
    end
  end
  found[1] = packed_states(uids)
  return found
end

-- Fail now, before anything is written, if a key is another program's.
local function check_keys()
  for _, key in ipairs({CHANGES, DUE, HELD, RELEASED, STARTS}) do redis.call('ZCARD', key) end
  for _, key in ipairs({ENTRIES, NAMES, STATES, OUTBOX, FORMER, NUMBERS, COUNTS}) do redis.call('HLEN', key) end
end
