-- finish: write down a decision that was made. No token: whoever knows the decision may.
-- KEYS job, open, heal, ended
-- ARGV id, outcome, digest, state, location, notify (1 or ''), result_ttl ms, record version,
--      stream length
local now, id, digest, notify = clock(), ARGV[1], ARGV[3], ARGV[6]
local r = read('state', 'digest', 'payload_hash', 'notified')

local function tell()
  redis.call('HSET', job, 'notified', 1)
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[9], '*', 'id', id, 'state', ARGV[4],
    'digest', digest)
end

if r.state ~= '' and r.state ~= 'open' then
  if r.digest ~= digest then return { 'conflict' } end
  if notify ~= '' and r.notified == '' then tell() end -- a reader had filled the cache first
  return { 'same' }
end
redis.call('DEL', job)
redis.call('HSET', job, 'v', ARGV[8], 'state', ARGV[4], 'outcome', ARGV[2], 'digest', digest,
  'location', ARGV[5], 'payload_hash', r.payload_hash)
if notify ~= '' then tell() end
redis.call('PEXPIRE', job, ARGV[7])
redis.call('ZREM', KEYS[2], id)
if ARGV[5] == 'secondary' then redis.call('ZADD', KEYS[3], now, id) end
return { 'done' }
