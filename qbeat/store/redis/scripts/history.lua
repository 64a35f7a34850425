-- needs _store _progress _records
-- Reads a page of the settled records of each of some entries.
--
-- ARGV[3]     '1' if the newest are wanted first
-- ARGV[4]     at most how many records of each entry
-- ARGV[5]     '1' if the records that came late are wanted too: all of them
-- ARGV[6, 7]  from and until which fire time, NONE for no bound
-- ARGV[8...]  uids
-- Returns     for each: its name, a page of its records in order, the late ones
local newest_first, size, with_late = ARGV[3] == '1', tonumber(ARGV[4]), ARGV[5] == '1'
local since, from, to = ARGV[6], tonumber(ARGV[6]), tonumber(ARGV[7])

-- How many records of a sorted list come before the first for which `is_beyond` holds.
local function count_before(key, length, is_beyond)
  local low, high = 0, length
  while low < high do
    local middle = math.floor((low + high) / 2)
    local fire_time, last = head_of(redis.call('LINDEX', key, middle))
    if is_beyond(fire_time, last) then high = middle else low = middle + 1 end
  end
  return low
end

local function reaches_since(_, last) return last >= from end
local function is_after_until(fire_time) return fire_time > to end

local function page_of(key)
  local length = redis.call('LLEN', key)
  if length == 0 then return {} end
  if newest_first then
    local stop = to == NONE and length or count_before(key, length, is_after_until)
    if stop == 0 then return {} end
    return redis.call('LRANGE', key, math.max(0, stop - size), stop - 1)
  end
  local start = from == NONE and 0 or count_before(key, length, reaches_since)
  return redis.call('LRANGE', key, start, start + size - 1)
end

local uids, found = {}, {}
for i = 8, #ARGV do uids[#uids + 1] = ARGV[i] end
local names = values_of(NAMES, uids)
for i, uid in ipairs(uids) do
  local late = {}
  if with_late then late = redis.call('ZRANGEBYSCORE', LATE .. uid, from == NONE and '-inf' or since, '+inf') end
  found[i] = {names[i], page_of(HISTORY .. uid), late}
end
return found
