-- Vouch for this run, or claim it, if it is the run that the caller means and nobody else's data.
-- KEYS[1] the voucher, KEYS[2] the claim. ARGV: run_id, master_replid, slots (empty: a single server), then until when
-- to vouch (ms of this server's clock: a call that a stopped server finds when it goes on must not vouch anew), or 0
-- with the claim's bytes to claim. The voucher's word is RUN_ID:SLOTS:FILL. A fill is the server's time at which the run
-- was first claimed for these slots, or claimed under database epoch 0, which begins to fill it anew: values pushed under
-- an earlier fill may be gone. Answers 1, or 0 if this is another run or has no claim of this run and its slots.
local function held(claim)
  return claim[1] == ARGV[1] and claim[2] == ARGV[2] and (claim[6] or '') == ARGV[3]
end
local info = redis.call('INFO', 'server') .. redis.call('INFO', 'replication')
local run_id = string.match(info, 'run_id:(%w+)')
local replid = string.match(info, 'master_replid:(%w+)')
if run_id ~= ARGV[1] or replid ~= ARGV[2] or not string.find(info, 'role:master', 1, true) then return 0 end
if tonumber(ARGV[4]) == 0 then
  local new, fill = cmsgpack.unpack(ARGV[5]), nil
  local there = redis.call('GET', KEYS[2])
  if there and new[3] > 0 then
    local old = cmsgpack.unpack(there)
    if held(old) then fill = old[5] end
  end
  if not fill then
    local now = redis.call('TIME')
    fill = now[1] .. '.' .. now[2]
  end
  redis.call('SET', KEYS[2], cmsgpack.pack({new[1], new[2], new[3], new[4], fill, ARGV[3]}))
  return 1
end
local claim = redis.call('GET', KEYS[2])
if not claim then return 0 end
local claimed = cmsgpack.unpack(claim)
if not held(claimed) then return 0 end
redis.call('SET', KEYS[1], run_id .. ':' .. ARGV[3] .. ':' .. claimed[5], 'PXAT', ARGV[4])
return 1
