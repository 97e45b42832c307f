-- Evict one idle subject: delete its values, and leave an eviction mark beside its permission.
-- KEYS[1] the subject's hash. ARGV[1] a second: the subject is idle if every event that its values counted is earlier, and
-- nobody is subscribed to it; or '' to mark a subject without values. ARGV[2] a random number below 2 ^ 21, which tells
-- eviction marks apart, or '' to change nothing. ARGV[3] for a subject without values: the second of its newest event.
-- The eviction mark is in field r, as a recreation mark is (apply_permission.lua). It is (-1, a time before every grant;
-- the second of the newest event * 2 ^ 21 + the random number).
-- Answers -1 if the subject is not idle; else the bytes of the values that are (or would be) deleted; with ARGV[1] '' 1 if
-- it is evicted now. 0: it has none (or some); no permission is stored, or one with a paused purpose, of which nothing
-- is changed; it has a recreation mark; or a value can't be read.
-- The values are deleted before the mark is set: so it works in a store that is full.
local function new_mark(newest) return cmsgpack.pack({-1, newest * 2097152 + tonumber(ARGV[2])}) end
local raw = redis.pcall('HGET', KEYS[1], 'p')
local readable, stored = pcall(cmsgpack.unpack, raw)
if not readable or type(stored) ~= 'table' or type(stored[3]) ~= 'table' then return 0 end
for _, held in pairs(stored[3]) do -- allowed, grant id, since, until, paused
  if type(held) ~= 'table' or held[5] then return 0 end
end
local mark = redis.call('HGET', KEYS[1], 'r')
if mark then
  local readable, content = pcall(cmsgpack.unpack, mark)
  if not readable or type(content) ~= 'table' or content[1] ~= -1 then return 0 end
end
local fields, size, newest = redis.call('HGETALL', KEYS[1]), 0, -1
local names = {}
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if string.find(name, '/', 1, true) then
    if #value < 32 then return 0 end
    newest = math.max(newest, (struct.unpack('<I4', value, 29)))
    size = size + #name + #value
    names[#names + 1] = name
  end
end
if ARGV[1] == '' then
  if names[1] then return 0 end
  newest = tonumber(ARGV[3])
  if not mark then redis.call('HSET', KEYS[1], 'r', new_mark(newest)) end
  return 1
end
if newest >= tonumber(ARGV[1]) or redis.call('PUBSUB', 'NUMSUB', KEYS[1])[2] > 0 then return -1 end
if ARGV[2] ~= '' and names[1] then
  for _, name in ipairs(names) do redis.call('HDEL', KEYS[1], name) end
  redis.call('HSET', KEYS[1], 'r', new_mark(newest))
end
return size
