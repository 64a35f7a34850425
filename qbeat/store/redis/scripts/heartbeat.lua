-- needs _store
-- Records that a replica lives, and forgets those that have been silent for too long.
--
-- ARGV[3]  the replica's id
-- ARGV[4]  what it says of itself
-- ARGV[5]  for how many microseconds a silent replica counts as living
-- Returns  the store's clock, its change number, and the living replicas: heartbeat, packed, and what they said
local MAX_AHEAD = 60000000 -- as in base.py: what lies further ahead was written before the clock went back
local now, found = clock(), redis.call('HGETALL', REPLICAS)
local change = redis.call('HGET', META, 'change')
local mine = struct.pack('>i8', now) .. ARGV[4]
local living, silent, written = {mine}, {}, {ARGV[3], mine}
for i = 1, #found, 2 do
  local id, packed = found[i], found[i + 1]
  if id ~= ARGV[3] then
    local beat_at = struct.unpack('>i8', packed)
    if now - beat_at > tonumber(ARGV[5]) then
      silent[#silent + 1] = id
    else
      if beat_at > now + MAX_AHEAD then
        packed = struct.pack('>i8', now) .. string.sub(packed, 9)
        written[#written + 1], written[#written + 2] = id, packed
      end
      living[#living + 1] = packed
    end
  end
end
in_chunks('HSET', REPLICAS, written)
in_chunks('HDEL', REPLICAS, silent)
return {string.format('%.0f', now), change, living}
