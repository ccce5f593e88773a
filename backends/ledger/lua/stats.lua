-- stats: how things stand, by counts and ranges alone.
-- KEYS open, stats, since, running, waiting, heal, stranded   ARGV how many stale entries to drop at most
local now = clock()
local open, since, heal = KEYS[1], KEYS[3], KEYS[6]
local above = '(' .. string.format('%.0f', now)

-- A job that left the open set behind the back of `finish` must not look old for ever.
local oldest = redis.call('ZRANGE', since, 0, 0, 'WITHSCORES')
for _ = 1, ARGV[1] do
  if not oldest[1] or redis.call('ZSCORE', open, oldest[1]) then break end
  redis.call('ZREM', since, oldest[1])
  oldest = redis.call('ZRANGE', since, 0, 0, 'WITHSCORES')
end

local stranded = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')

return {
  redis.call('ZCARD', open),
  redis.call('ZCOUNT', KEYS[4], above, '+inf'),
  redis.call('ZCOUNT', KEYS[5], above, '+inf'),
  redis.call('ZCOUNT', open, '-inf', now),
  oldest[2] and now - oldest[2] or -1,
  redis.call('ZCARD', heal),
  redis.call('ZCARD', KEYS[7]),
  stranded[2] and now - stranded[2] or -1,
  redis.call('HGETALL', KEYS[2]),
}
