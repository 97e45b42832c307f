-- Apply the permission of one subject: store the one given, if any, and drop every field that the permission stored then
-- neither allows nor pauses; all fields where none is stored.
-- KEYS[1] the subject's hash. ARGV[1] a permission or ''; it is not stored if a higher (epoch, sequence) is. ARGV[2] now,
-- ms, or '' to fill a new store incarnation. ARGV[3] a recreation mark after which every value was pushed, or ''.
-- The recreation mark, field r, tells that a permission was stored where none was, though a grant of it had begun: values
-- may be lost, and events were skipped. It is (that time in ms, that permission's sequence). It is open while a grant of
-- the stored permission begins by that time. Then, and until every value was pushed, it stays. An eviction mark, in the
-- same field (evict.lua), has the time -1: it is never open, and stays until every value was pushed.
-- What can't be read is deleted: a key that is no hash, a permission, a mark, a field without a header. A subject with a
-- deleted permission or field counts as one without a stored permission.
-- Answers 0 where a newer permission was stored and stays; 2 where none was stored before, or an open mark is; 3 as 2,
-- where something was deleted that could not be read; else 1. Subscribers to the subject are notified.
local damaged = redis.call('TYPE', KEYS[1]).ok
damaged = damaged ~= 'hash' and damaged ~= 'none'
if damaged then redis.call('DEL', KEYS[1]) end
local function unpacked(field, is_right) -- a field, and its content if that is right
  local raw = redis.call('HGET', KEYS[1], field)
  if not raw then return false, nil end
  local readable, content = pcall(cmsgpack.unpack, raw)
  if readable and type(content) == 'table' and is_right(content) then return raw, content end
  redis.call('HDEL', KEYS[1], field)
  damaged = true
  return false, nil
end
local function are_numbers(content, first, last)
  for i = first, last do
    if type(content[i]) ~= 'number' then return false end
  end
  return true
end
local stored, old = unpacked('p', function(content)
  if not are_numbers(content, 1, 2) or type(content[3]) ~= 'table' then return false end
  for _, held in pairs(content[3]) do
    if type(held) ~= 'table' or not are_numbers(held, 2, 3) then return false end
  end
  return true
end)
local mark, marked = unpacked('r', function(content) return are_numbers(content, 1, 2) end)
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local name = fields[i]
  if name ~= 'p' and name ~= 'r' and string.find(name, '/', 1, true) and #fields[i + 1] < 24 then
    redis.call('HDEL', KEYS[1], name)
    damaged = true
  end
end
local raw, answer = stored, 1
if ARGV[1] ~= '' then
  raw = ARGV[1]
  if stored then
    local new = cmsgpack.unpack(raw)
    if old[1] > new[1] or (old[1] == new[1] and old[2] > new[2]) then
      raw, answer = stored, 0
    end
  end
  if answer == 1 then redis.call('HSET', KEYS[1], 'p', raw) end
end
local permission = raw and cmsgpack.unpack(raw)
local purposes = permission and permission[3] or {}
local function has_begun(time)
  for _, held in pairs(purposes) do -- allowed, grant id, since, until, paused, complete from
    if (held[1] or held[5]) and math.max(held[3], held[6] or 0) <= time then return true end
  end
  return false
end
if permission and (not stored or damaged) then
  if answer == 1 then answer = damaged and 3 or 2 end
  local now = tonumber(ARGV[2])
  if now and has_begun(now) then
    marked = {now, permission[2]}
    mark = cmsgpack.pack(marked)
    redis.call('HSET', KEYS[1], 'r', mark)
  end
end
if mark and permission then
  if has_begun(marked[1]) then
    if answer == 1 then answer = 2 end
  elseif mark == ARGV[3] then
    redis.call('HDEL', KEYS[1], 'r')
  end
end
for i = 1, #fields, 2 do
  local name = fields[i]
  if name ~= 'p' and name ~= 'r' then
    local purpose = string.match(name, '/([^/]*)$')
    local grant_id = #fields[i + 1] >= 24 and select(3, struct.unpack('<I4I8I8', fields[i + 1]))
    local permission = purpose and purposes[purpose] -- allowed, grant id, since, until, paused
    local held = permission and (permission[1] or permission[5]) and permission[2] == grant_id
    if not held then redis.call('HDEL', KEYS[1], name) end
  end
end
if redis.call('PUBSUB', 'NUMSUB', KEYS[1])[2] > 0 then redis.call('PUBLISH', KEYS[1], '') end
return answer
