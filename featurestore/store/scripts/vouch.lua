-- Vouch for this run, or replace its store claim, if it is the run that the caller means and the claim is the expected one.
-- KEYS[1] the vouch key, KEYS[2] the store claim, KEYS[3] the latch. ARGV: run_id, master_replid, slots (empty: a single
-- server), the expected claim (empty: none; else msgpack: run_id, master_replid, epoch, sequence, started, slots, lease's
-- epoch, lease's number, holder, renewals of the vouch key). To vouch follows the expiry (ms of this server's clock: a call that a stopped server
-- executes when it continues must not extend it); to replace the claim follow 0 and the new claim. In a cluster a claim
-- that was migrated here with a slot counts as none. To vouch adds a renewal to the stored claim; a new claim of epoch 0
-- deletes the vouch key.
-- The vouch key's value is RUN_ID:SLOTS:STARTED EPOCH/NUMBER/HOLDER: the store incarnation, then the lease. Answers 1,
-- or 0 if this is another run, if another claim or none is stored, if the new claim's lease is not a later one than the
-- stored claim's, or, to vouch, if the claim is of epoch 0 (a new incarnation, not filled yet) or the latch's or below.
local info = redis.call('INFO', 'server') .. redis.call('INFO', 'replication')
local run_id = string.match(info, 'run_id:(%w+)')
local replid = string.match(info, 'master_replid:(%w+)')
if run_id ~= ARGV[1] or replid ~= ARGV[2] or not string.find(info, 'role:master', 1, true) then return 0 end
local absent = {'', '', 0, 0, '', '', 0, 0, '', 0} -- claims of an earlier version have fewer fields
local function same(one, other, first, last)
  for i = first, last do
    if (one[i] or absent[i]) ~= (other[i] or absent[i]) then return false end
  end
  return true
end
local raw = redis.call('GET', KEYS[2])
local readable, stored = pcall(cmsgpack.unpack, raw)
if not readable or type(stored) ~= 'table' or not stored[5] then stored = nil end -- none, or one that can't be read
local replid2 = string.match(info, 'master_replid2:(%w+)')
if stored and ARGV[3] ~= '' and ((stored[6] or '') ~= ARGV[3] or (stored[2] ~= replid and stored[2] ~= replid2)) then
  stored = nil
end
local expected = ARGV[4] ~= '' and cmsgpack.unpack(ARGV[4])
if not (stored and expected) and (stored or expected) then return 0 end
if stored and not same(stored, expected, 1, #absent) then return 0 end
if tonumber(ARGV[5]) == 0 then
  local new = cmsgpack.unpack(ARGV[6])
  if stored and not same(stored, new, 7, 9) then
    local epoch, number = stored[7] or 0, stored[8] or 0
    if new[7] < epoch or (new[7] == epoch and new[8] <= number) then return 0 end
  end
  redis.call('SET', KEYS[2], ARGV[6])
  if new[3] == 0 then redis.call('DEL', KEYS[1]) end
  return 1
end
if not stored or stored[1] ~= ARGV[1] or stored[2] ~= ARGV[2] or (stored[6] or '') ~= ARGV[3] then return 0 end
if stored[3] <= tonumber(redis.call('GET', KEYS[3]) or '0') then return 0 end
for i = 1, #absent do
  if stored[i] == nil then stored[i] = absent[i] end
end
stored[10] = stored[10] + 1
redis.call('SET', KEYS[2], cmsgpack.pack(stored))
local lease = string.format('%.0f/%.0f/%s', stored[7] or 0, stored[8] or 0, stored[9] or '')
redis.call('SET', KEYS[1], run_id .. ':' .. ARGV[3] .. ':' .. stored[5] .. ' ' .. lease, 'PXAT', ARGV[5])
return 1
