-- Pushes each firing's messages if its fire time is later than the entry's mark, and moves the mark.
--
-- KEYS[1]  the hash of marks: entry and lane -> fire time of the last published firing
-- ARGV     for each firing: field, fire time, number of messages, then key and payload of each message
-- Returns  for each firing 1 if it was pushed, 0 if it had been before, or the text of Redis' refusal
--
-- The push comes first: if Redis refuses it, the mark stays, and the firing can be tried again. Others go on.
local marks = KEYS[1]
local results = {}
local at = 1
while at <= #ARGV do
  local field, fire_time, count = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  at = at + 3
  local mark = tonumber(redis.call('HGET', marks, field) or '-1')
  if fire_time > mark then
    local result = 1
    for message = 0, count - 1 do
      local answer = redis.pcall('LPUSH', ARGV[at + 2 * message], ARGV[at + 2 * message + 1])
      if type(answer) == 'table' and answer.err then
        result = answer.err
        break
      end
    end
    if result == 1 then redis.call('HSET', marks, field, ARGV[at - 2]) end
    results[#results + 1] = result
  else
    results[#results + 1] = 0
  end
  at = at + 2 * count
end
return results
