-- heal_due: jobs that somebody is to heal now; nobody else is told of them for a while.
-- KEYS heal   ARGV limit, for how long ms
local now = clock()
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do redis.call('ZADD', KEYS[1], now + ARGV[2], id) end
return due
