-- Sends each firing's messages if its fire time is later than the entry's mark, and moves the mark.
--
-- KEYS[1]  the hash of marks: entry and lane -> fire time of the last published firing
-- ARGV     for each firing: field, fire time, a letter for each command, then key and value of each command
-- Returns  for each firing 1 if it was sent, 0 if it had been before, or the text of Redis' refusal;
--          an error, with nothing sent, if Redis takes no writes now
--
-- The mark comes first: a Redis that takes no writes refuses it, and nothing has been sent. A refusal by one
-- queue leaves the firing as if it had not been tried, and lets the others go on. What is published to
-- subscribers cannot be taken back, so its commands stand last.
local COMMANDS = {[string.byte('L')] = 'LPUSH', [string.byte('E')] = 'PEXPIRE', [string.byte('P')] = 'PUBLISH'}
local marks = KEYS[1]

-- Run the commands of one firing, which stand from `at` on; after a refusal take back what was pushed.
local function send(steps, at)
  for step = 1, #steps do
    local place = at + 2 * step - 2
    local answer = redis.pcall(COMMANDS[string.byte(steps, step)], ARGV[place], ARGV[place + 1])
    if type(answer) == 'table' and answer.err then
      for done = step - 1, 1, -1 do
        if string.sub(steps, done, done) == 'L' then redis.pcall('LPOP', ARGV[at + 2 * done - 2]) end
      end
      return answer.err
    end
  end
  return 1
end

local results = {}
local at = 1
while at <= #ARGV do
  local field, fire_time, steps = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  at = at + 3
  local mark = redis.call('HGET', marks, field) or '-1'
  if tonumber(fire_time) > tonumber(mark) then
    local answer = redis.pcall('HSET', marks, field, fire_time)
    if type(answer) == 'table' and answer.err then return answer end
    local result = send(steps, at)
    if result ~= 1 then redis.call('HSET', marks, field, mark) end
    results[#results + 1] = result
  else
    results[#results + 1] = 0
  end
  at = at + 2 * #steps
end
return results
