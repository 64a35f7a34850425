-- Writes a mark that is nobody's and takes it back: a Redis that takes no writes now refuses this.
--
-- KEYS[1]  the hash of marks
local NOBODY = ''
local answer = redis.pcall('HSET', KEYS[1], NOBODY, 0)
if type(answer) == 'table' and answer.err then return answer end
redis.pcall('HDEL', KEYS[1], NOBODY)
return 1
