-- Write packed fields of one subject where its permission allows their purpose, the grant ids are equal and no newer
-- value of the same grant is stored.
-- KEYS[1] the subject's hash. ARGV[1] now, ms; 0: a purpose that is paused, or whose time is over, is written too, since
-- its values are kept. Then for each field: name, purpose, value.
-- Answers for each field 1 done, 0 superseded, -1 not allowed. Numbers are compared, never strings.
-- Where the key is no hash, or its permission can't be read, nothing is allowed; a stored field without a header is
-- replaced.
-- Subscribers to the subject are notified once a call, on the channel named as the hash. Without a subscriber nothing
-- is published: PUBLISH is sent to replicas and, in a cluster, to every other server.
local now = tonumber(ARGV[1])
local raw = redis.pcall('HGET', KEYS[1], 'p')
local readable, stored_permission = pcall(cmsgpack.unpack, raw)
local purposes = readable and type(stored_permission) == 'table' and stored_permission[3]
if type(purposes) ~= 'table' then purposes = {} end
local outcomes, changed = {}, {}
for i = 2, #ARGV, 3 do
  local name, purpose, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local generation, offset, grant_id = struct.unpack('<I4I8I8', value)
  local permission = purposes[purpose] -- allowed, grant id, since, until, paused
  local outcome = 1
  if type(permission) ~= 'table' then permission = nil end
  local allows = permission and permission[1] and (permission[4] == 0 or now < permission[4])
  local keeps = now == 0 and permission and permission[5]
  if not ((allows or keeps) and permission[2] == grant_id) then
    outcome = -1
  else
    local stored = redis.call('HGET', KEYS[1], name)
    if stored and #stored >= 24 then
      local stored_generation, stored_offset, stored_grant_id = struct.unpack('<I4I8I8', stored)
      if stored_generation > generation or (stored_generation == generation and stored_offset > offset) then
        if stored_grant_id == grant_id then outcome = 0 end
      end
    end
  end
  if outcome == 1 then
    changed[#changed + 1] = name
    changed[#changed + 1] = value
  end
  outcomes[#outcomes + 1] = outcome
end
for i = 1, #changed, 2 do
  redis.call('HSET', KEYS[1], changed[i], changed[i + 1])
end
if changed[1] and redis.call('PUBSUB', 'NUMSUB', KEYS[1])[2] > 0 then redis.call('PUBLISH', KEYS[1], '') end
return outcomes
