-- Move the watermark of one source's partition forward: never to a lower (generation, offset), never back in time.
-- KEYS[1] the watermarks. ARGV: field, watermark (msgpack: generation, offset, folded_to_ms, ...).
-- Answers 1, or 0 where a newer one is stored.
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local readable, stored = pcall(cmsgpack.unpack, raw)
if readable and type(stored) == 'table' and stored[3] then -- else there is none, or none that can be read
  local new = cmsgpack.unpack(ARGV[2])
  if stored[1] > new[1] then return 0 end
  if stored[1] == new[1] and (stored[2] > new[2] or (stored[2] == new[2] and stored[3] > new[3])) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
