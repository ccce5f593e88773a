-- renew: keep a lease alive.
-- ARGV id, token, lease ms
local now = clock()
local r = read('state', 'token', 'cancel', 'ending', 'deadline', 'outage', 'error_code')
local refusal = guard(r, ARGV[2])
if refusal then return refusal end
local ending = due_end(r, now)
if ending ~= '' then return { 'end', ending, ARGV[2] } end
redis.call('HSET', job, 'lease_until', now + ARGV[3])
redis.call('ZADD', open, now + ARGV[3], id)
redis.call('ZADD', running, now + ARGV[3], id)
return { 'ok' }
