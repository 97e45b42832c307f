-- Raise the highest change of which a permission was ever published to this node.
-- KEYS[1] the highest change (msgpack: epoch, sequence, token). ARGV: epoch, sequence, token.
-- Answers the highest change before, or nil. One of the same number stays, whatever its token: it came first.
local raw = redis.call('GET', KEYS[1])
local readable, stored = pcall(cmsgpack.unpack, raw)
if not readable or type(stored) ~= 'table' or not stored[2] then raw, stored = false, nil end -- none, or unreadable
local epoch, sequence = tonumber(ARGV[1]), tonumber(ARGV[2])
if not stored or epoch > stored[1] or (epoch == stored[1] and sequence > stored[2]) then
  redis.call('SET', KEYS[1], cmsgpack.pack({epoch, sequence, tonumber(ARGV[3])}))
end
return raw
