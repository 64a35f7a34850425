-- needs _store
-- Records that a replica lives, and forgets those that have been silent for too long.
--
-- ARGV[3]  the replica's id
-- ARGV[4]  what it says of itself
-- ARGV[5]  for how many microseconds a silent replica counts as living
-- Returns  the store's clock, its change number, and the living replicas: heartbeat, packed, and what they said
local now, found = clock(), redis.call('HGETALL', REPLICAS)
local change = redis.call('HGET', META, 'change')
local mine = struct.pack('>i8', now) .. ARGV[4]
local living, silent = {mine}, {}
for i = 1, #found, 2 do
  if found[i] ~= ARGV[3] then
    if now - struct.unpack('>i8', found[i + 1]) > tonumber(ARGV[5]) then
      silent[#silent + 1] = found[i]
    else
      living[#living + 1] = found[i + 1]
    end
  end
end
redis.call('HSET', REPLICAS, ARGV[3], mine)
in_chunks('HDEL', REPLICAS, silent)
return {string.format('%.0f', now), change, living}
