-- Vouch for this run, or claim it, if it is the run that the caller means and nobody else's data.
-- KEYS[1] the voucher, KEYS[2] the claim. ARGV: run_id, master_replid, then until when to vouch (ms of this server's
-- clock: a call that a stopped server finds when it goes on must not vouch anew), or 0 with the claim's bytes to claim. Answers 1, or 0 if this is another run or has no claim of this run.
local info = redis.call('INFO', 'server') .. redis.call('INFO', 'replication')
local run_id = string.match(info, 'run_id:(%w+)')
local replid = string.match(info, 'master_replid:(%w+)')
if run_id ~= ARGV[1] or replid ~= ARGV[2] or not string.find(info, 'role:master', 1, true) then return 0 end
if tonumber(ARGV[3]) == 0 then
  redis.call('SET', KEYS[2], ARGV[4])
  return 1
end
local claim = redis.call('GET', KEYS[2])
if not claim then return 0 end
local claimed = cmsgpack.unpack(claim)
if claimed[1] ~= run_id or claimed[2] ~= replid then return 0 end
redis.call('SET', KEYS[1], run_id, 'PXAT', ARGV[3])
return 1
