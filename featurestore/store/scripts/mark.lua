-- Move the mark of one source's partition forward: never to a lower (generation, offset), never back in time.
-- KEYS[1] the marks. ARGV: field, mark (msgpack: generation, offset, folded_to_ms, ...). Answers 1, or 0 if refused.
local there = redis.call('HGET', KEYS[1], ARGV[1])
if there then
  local old, new = cmsgpack.unpack(there), cmsgpack.unpack(ARGV[2])
  if old[1] > new[1] then return 0 end
  if old[1] == new[1] and (old[2] > new[2] or (old[2] == new[2] and old[3] > new[3])) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
