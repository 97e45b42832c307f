-- Apply the permission of one subject: store the one given, if any, and drop every field that the permission stored then
-- neither allows nor pauses; all fields where none is stored.
-- KEYS[1] the subject's hash. ARGV[1], if given, a permission; it is not stored if a higher (epoch, sequence) is.
-- Answers 0 where a newer permission was stored and stays, else 1. Subscribers to the subject are notified.
local stored = redis.call('HGET', KEYS[1], 'p')
local raw, answer = stored, 1
if ARGV[1] then
  raw = ARGV[1]
  if stored then
    local old, new = cmsgpack.unpack(stored), cmsgpack.unpack(raw)
    if old[1] > new[1] or (old[1] == new[1] and old[2] > new[2]) then
      raw, answer = stored, 0
    end
  end
  if answer == 1 then redis.call('HSET', KEYS[1], 'p', raw) end
end
local purposes = raw and cmsgpack.unpack(raw)[3] or {}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local name = fields[i]
  if name ~= 'p' then
    local purpose = string.match(name, '/([^/]*)$')
    local _, _, grant_id = struct.unpack('<I4I8I8', fields[i + 1])
    local permission = purpose and purposes[purpose] -- allowed, grant id, since, until, paused
    local held = permission and (permission[1] or permission[5]) and permission[2] == grant_id
    if not held then redis.call('HDEL', KEYS[1], name) end
  end
end
if redis.call('PUBSUB', 'NUMSUB', KEYS[1])[2] > 0 then redis.call('PUBLISH', KEYS[1], '') end
return answer
