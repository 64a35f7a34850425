-- Sends each firing's messages if its fire time is later than the entry's mark, and moves the mark.
--
-- KEYS[1]  the hash of marks: entry and lane -> fire time of the last published firing
-- ARGV     for each firing: field, fire time, a letter for each command, then key and value of each command
-- Returns  for each firing 1 if it was sent, 0 if it had been before, or the text of Redis' refusal
--
-- The mark comes first: a Redis that takes no writes refuses it, and nothing has been sent. A refusal by one
-- queue leaves the firing as if it had not been tried, and lets the others go on. What is published to
-- subscribers cannot be taken back, so its commands stand last.
local COMMANDS = {L = 'LPUSH', E = 'PEXPIRE', P = 'PUBLISH'}
local marks = KEYS[1]

local function put_back(field, mark, pushed)
  redis.call('HSET', marks, field, mark)
  for last = #pushed, 1, -1 do redis.pcall('LPOP', pushed[last]) end
end

-- Run the commands of one firing, which stand from `at` on.
local function send(field, mark, steps, at)
  local pushed = {}
  for step in string.gmatch(steps, '.') do
    local answer = redis.pcall(COMMANDS[step], ARGV[at], ARGV[at + 1])
    if type(answer) == 'table' and answer.err then
      put_back(field, mark, pushed)
      return answer.err
    end
    if step == 'L' then pushed[#pushed + 1] = ARGV[at] end
    at = at + 2
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
    redis.call('HSET', marks, field, fire_time)
    results[#results + 1] = send(field, mark, steps, at)
  else
    results[#results + 1] = 0
  end
  at = at + 2 * #steps
end
return results
