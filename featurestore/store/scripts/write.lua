-- Write packed fields of one subject where its permission holds their purpose and grant and no newer value is there.
-- KEYS[1] the subject's hash. ARGV[1] now, ms. Then for each field: name, purpose, value.
-- Answers for each field 1 done, 0 stale, -1 refused. Numbers are compared, never strings.
-- Who follows the subject hears of it once a call, on a channel named as the hash. Where nobody does, nothing is
-- published: replicas, and in a cluster every other server, would be told of each write.
local now = tonumber(ARGV[1])
local raw = redis.call('HGET', KEYS[1], 'p')
local purposes = raw and cmsgpack.unpack(raw)[3] or {}
local answers, pairs_ = {}, {}
for i = 2, #ARGV, 3 do
  local name, purpose, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local generation, offset, grant = struct.unpack('<I4I8I4', value)
  local may = purposes[purpose]
  local answer = 1
  if not (may and may[1] and may[2] == grant and (may[4] == 0 or now < may[4])) then
    answer = -1
  else
    local there = redis.call('HGET', KEYS[1], name)
    if there then
      local g, o, granted = struct.unpack('<I4I8I4', there)
      if g > generation or (g == generation and o > offset) then
        if granted == grant then answer = 0 end
      end
    end
  end
  if answer == 1 then
    pairs_[#pairs_ + 1] = name
    pairs_[#pairs_ + 1] = value
  end
  answers[#answers + 1] = answer
end
for i = 1, #pairs_, 2 do
  redis.call('HSET', KEYS[1], pairs_[i], pairs_[i + 1])
end
if pairs_[1] and redis.call('PUBSUB', 'NUMSUB', KEYS[1])[2] > 0 then redis.call('PUBLISH', KEYS[1], '') end
return answers
