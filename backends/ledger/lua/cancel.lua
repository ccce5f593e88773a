-- cancel: ask whoever works on the job to stop early.
-- ARGV id
local r = read('state')
if r.state == '' then return { 'unknown' } end
if r.state ~= 'open' then return terminal() end
redis.call('HSET', job, 'cancel', 1)
redis.call('ZADD', open, clock(), id)
return { 'ok' }
