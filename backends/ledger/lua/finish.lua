-- finish: write down a decision that was made. No token: whoever knows the decision may.
-- KEYS …, heal, ended, failed, stranded
-- ARGV id, outcome, digest, state, error code, location, notify (1 or ''), result_ttl ms,
--      record version, stream length
local digest, state, location, notify = ARGV[3], ARGV[4], ARGV[6], ARGV[7]
local r = read('state', 'digest', 'payload_hash', 'notified', 'outage', 'error_code', 'step',
  'commits')

local function tell()
  redis.call('HSET', job, 'notified', 1)
  redis.call('XADD', KEYS[8], 'MAXLEN', '~', ARGV[10], '*', 'id', id, 'state', state,
    'digest', digest)
  count('ended:' .. state)
  if state == 'failed' then count('failed:' .. ARGV[5]) end
end

-- Whether an outage that the job met is over by what this end needed: the run of the step that met
-- it, and after it the same stores. Who stored has been through all steps. A job that was cancelled,
-- is too late, or has been tried too often ends without its step, and is never held back either.
local function shows_that_it_is_over()
  local found = state == 'rejected' or state == 'quarantined' or ARGV[5] == 'source_missing'
  return state == 'stored' or found and r.outage == r.step
end

-- Whether runs may have put outputs that this end does not name, or not there: whoever heals next
-- takes those away. Of a job placed on the secondary he learns below, and of one healed since the
-- copy has a grace.
local function may_have_left_some()
  if state ~= 'stored' then return r.commits ~= '' or r.step == 'commit' end
  return r.commits == 'again' and cjson.decode(ARGV[2]).placed == 'primary'
end

if r.state ~= '' and r.state ~= 'open' then
  if r.digest ~= digest then return { 'conflict' } end
  if notify ~= '' and r.notified == '' then tell() end -- a reader had filled the cache first
  return { 'same' }
end
if shows_that_it_is_over() then got_over(r) end
redis.call('DEL', job)
redis.call('HSET', job, 'v', ARGV[9], 'state', state, 'outcome', ARGV[2], 'digest', digest,
  'location', location, 'payload_hash', r.payload_hash)
if notify ~= '' then tell() end
redis.call('PEXPIRE', job, ARGV[8])
if state == 'failed' then -- to be listed as long as its record is there
  redis.call('ZREMRANGEBYSCORE', KEYS[9], '-inf', clock() - ARGV[8])
  redis.call('ZADD', KEYS[9], clock(), id)
end
for _, set in ipairs({ open, since, running, waiting }) do redis.call('ZREM', set, id) end
if may_have_left_some() then redis.call('ZADD', KEYS[7], 'NX', clock(), id) end
if location == 'secondary' then
  redis.call('ZADD', KEYS[7], clock(), id)
  redis.call('ZADD', KEYS[10], 'NX', clock(), id)
end
return { 'done' }
