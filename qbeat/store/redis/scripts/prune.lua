-- needs _store _progress _records
-- Deletes old records of the entries whose histories start first.
--
-- ARGV[3]  records that end before this instant are old
-- ARGV[4]  at most how many
-- Returns  how many went, and 1 if there may be more
local EXAMINED = 1000 -- entries
local before, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local uids = redis.call('ZRANGEBYSCORE', STARTS, '-inf', '(' .. ARGV[3], 'LIMIT', 0, EXAMINED)
load_states(uids)
check_keys()

-- The newest published record of an entry that is still there is kept.
local function is_kept(uid, fire_time, outcome)
  local state = states[uid]
  return state ~= nil and outcome == PUBLISHED and fire_time >= state[PUBLISHED_FIRE_TIME]
end

-- Prune the list; return how many went, whether a record is kept, and where the next one ends.
local function prune_list(uid, room)
  local key, examined, gone, kept, following = HISTORY .. uid, 0, 0, nil, nil
  for _, packed in ipairs(redis.call('LRANGE', key, 0, room + 1)) do
    local fire_time, last, outcome = head_of(packed)
    if is_kept(uid, fire_time, outcome) then
      kept = packed
    elseif last < before and gone < room then
      gone = gone + 1
    else
      following = last
      break
    end
    examined = examined + 1
  end
  if gone > 0 then
    redis.call('LTRIM', key, examined, -1)
    if kept then redis.call('LPUSH', key, kept) end
  end
  return gone, kept ~= nil, following
end

-- The same for the records that came late.
local function prune_late(uid, room)
  local key, gone, kept, following = LATE .. uid, 0, false, nil
  local found = redis.call('ZRANGE', key, 0, room + 1)
  for _, packed in ipairs(found) do
    local fire_time, last, outcome = head_of(packed)
    if is_kept(uid, fire_time, outcome) then
      kept = true
    elseif last < before and gone < room then
      gone = gone + redis.call('ZREM', key, packed)
    else
      following = last
      break
    end
  end
  return gone, kept, following
end

-- Forget the name of a removed entry that has no history any more.
local function forget(uid)
  local name = redis.call('HGET', NAMES, uid)
  if not name then return end
  redis.call('HDEL', NAMES, uid)
  local left = string.gsub(redis.call('HGET', FORMER, name) or '', uid, '')
  if left == '' then redis.call('HDEL', FORMER, name) else redis.call('HSET', FORMER, name, left) end
end

local function prune(uid, room)
  local gone, kept, following = prune_list(uid, room)
  local late_gone, late_kept, late_following = prune_late(uid, room - gone)
  if following or late_following then
    redis.call('ZADD', STARTS, math.min(following or late_following, late_following or following), uid)
    return gone + late_gone
  end
  redis.call('ZREM', STARTS, uid)
  if not kept and not late_kept then redis.call('ZREM', ENDS, uid) end
  if states[uid] then
    states[uid][STARTED], changed[uid] = 0, true
  else
    forget(uid)
  end
  return gone + late_gone
end

local gone, examined = 0, 0
for _, uid in ipairs(uids) do
  if gone >= limit then break end
  gone = gone + prune(uid, limit - gone)
  examined = examined + 1
end
write_states()
return {gone, (examined < #uids or #uids == EXAMINED) and 1 or 0}
