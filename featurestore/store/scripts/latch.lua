-- Latch this node for databases of an epoch and below: delete the vouch key that was written under such a one.
-- KEYS[1] the vouch key, KEYS[2] the latch: the highest epoch latched. ARGV[1] the epoch. vouch.lua obeys the latch.
local epoch = math.max(tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[2]) or '0'))
redis.call('SET', KEYS[2], string.format('%.0f', epoch))
local vouch = redis.call('GET', KEYS[1])
if vouch and tonumber(string.match(vouch, ' (%d+)/') or '0') <= epoch then redis.call('DEL', KEYS[1]) end
return 1
