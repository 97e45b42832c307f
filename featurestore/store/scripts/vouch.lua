-- Vouch for this run, or write its store claim, if it is the run that the caller means.
-- KEYS[1] the vouch key, KEYS[2] the store claim. ARGV: run_id, master_replid, slots (empty: a single server). To vouch
-- follows the expiry (ms of this server's clock: a call that a stopped server executes when it continues must not extend
-- it); to claim follow 0 and the claim (msgpack: run_id, master_replid, epoch, sequence).
-- The vouch key's value is the store incarnation, RUN_ID:SLOTS:STARTED. STARTED is the server's time of the run's first
-- claim with these slots, or of its last claim under epoch 0, which begins a new incarnation: values pushed under an
-- earlier one may be lost. Answers 1, or 0 if this is another run or, to vouch, has no claim of this run and its slots.
local function is_own(claim)
  return claim[1] == ARGV[1] and claim[2] == ARGV[2] and (claim[6] or '') == ARGV[3]
end
local info = redis.call('INFO', 'server') .. redis.call('INFO', 'replication')
local run_id = string.match(info, 'run_id:(%w+)')
local replid = string.match(info, 'master_replid:(%w+)')
if run_id ~= ARGV[1] or replid ~= ARGV[2] or not string.find(info, 'role:master', 1, true) then return 0 end
local raw = redis.call('GET', KEYS[2])
local stored = raw and cmsgpack.unpack(raw)
if tonumber(ARGV[4]) == 0 then
  local new, started = cmsgpack.unpack(ARGV[5]), nil
  if stored and new[3] > 0 and is_own(stored) then started = stored[5] end
  if not started then
    local now = redis.call('TIME')
    started = now[1] .. '.' .. now[2]
  end
  redis.call('SET', KEYS[2], cmsgpack.pack({new[1], new[2], new[3], new[4], started, ARGV[3]}))
  return 1
end
if not (stored and is_own(stored)) then return 0 end
redis.call('SET', KEYS[1], run_id .. ':' .. ARGV[3] .. ':' .. stored[5], 'PXAT', ARGV[4])
return 1
