-- unsent: wakes that could not be sent after all. Those jobs are due again in a moment.
-- KEYS open, stats   ARGV record key prefix, moment ms, ids…
local now, taken = clock(), 0
for i = 3, #ARGV do
  local record = ARGV[1] .. ARGV[i]
  if redis.call('HGET', record, 'state') == 'open' then
    redis.call('HDEL', record, 'wake')
    redis.call('HINCRBY', record, 'swept', -1)
    redis.call('ZADD', KEYS[1], 'XX', 'LT', now + ARGV[2], ARGV[i])
    taken = taken + 1
  end
end
redis.call('HINCRBY', KEYS[2], 'swept', -taken)
return { taken }
