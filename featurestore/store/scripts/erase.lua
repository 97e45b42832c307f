-- Delete the hash of one subject, unless its permission names a purpose: then it is a customer's, and nobody erased it.
-- KEYS[1] the subject's hash. Answers 1, or 0 where it stays. What is no hash, or has no readable permission, is deleted.
-- Subscribers to the subject are notified.
local raw = redis.pcall('HGET', KEYS[1], 'p')
local readable, stored = pcall(cmsgpack.unpack, raw)
if readable and type(stored) == 'table' and type(stored[3]) == 'table' and next(stored[3]) ~= nil then return 0 end
redis.call('DEL', KEYS[1])
if redis.call('PUBSUB', 'NUMSUB', KEYS[1])[2] > 0 then redis.call('PUBLISH', KEYS[1], '') end
return 1
