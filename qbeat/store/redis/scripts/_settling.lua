-- Settlements and releases, as they come packed from the client.
local ENDING = '>c32i8i8I4BI2c0I4c0' -- uid, fire time, instant, attempt, code, lane, text
local CODES, WITH_TEXT, AS_UNCERTAIN = 4, 4, 1 -- a settlement's code is its outcome, and whether it has a text

local function add_uid(uids, uid)
  if not uids[uid] then
    uids[uid] = true
    uids[#uids + 1] = uid
  end
end

-- The endings in a packed string; their uids are added to those that are there, each once.
local function unpack_endings(packed, uids)
  local endings, at = {}, 1
  while at <= #packed do
    local ending = {struct.unpack(ENDING, packed, at)}
    at = ending[8]
    endings[#endings + 1] = ending
    add_uid(uids, ending[1])
  end
  return endings
end

local function text_of(ending)
  if ending[5] >= WITH_TEXT then return ending[7] end
  return false
end

local function settle(endings)
  for _, ending in ipairs(endings) do
    local uid, attempt = ending[1], ending[4]
    local firing, place = find_firing(uid, ending[6], ending[2])
    if firing and (attempt == 0 or attempt == firing[ATTEMPT]) then
      table.remove(boxes[uid], place)
      opened[uid] = true
      added = added - 1
      record_end(uid, firing, ending[5] % CODES, ending[3], text_of(ending))
    end
  end
end

local function release(endings)
  for _, ending in ipairs(endings) do
    local uid = ending[1]
    local firing = find_firing(uid, ending[6], ending[2])
    if firing and ending[4] == firing[ATTEMPT] then
      release_firing(firing, ending[3], text_of(ending), ending[5] % CODES == AS_UNCERTAIN)
      opened[uid] = true
    end
  end
end
