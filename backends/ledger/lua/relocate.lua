-- relocate: a job's outputs are in another store now, if they still were where the caller found them.
-- KEYS …, heal, stranded   ARGV id, from, to, heal_grace ms
local r = read('state', 'location')
if r.state == '' then return { 'unknown' } end
if r.state == 'open' then return { 'open' } end
if r.location ~= ARGV[2] then return { r.location ~= '' and r.location or 'nowhere' } end
redis.call('HSET', job, 'location', ARGV[3])
redis.call('ZADD', KEYS[7], clock() + ARGV[4], id)
redis.call('ZREM', KEYS[8], id)
-- The record outlives the grace: without it nobody could tell when that began.
local keep = 2 * ARGV[4]
if redis.call('PTTL', job) < keep then redis.call('PEXPIRE', job, keep) end
return { 'ok' }
