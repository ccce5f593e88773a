-- due: the jobs somebody must look at now; each is put off, further every time.
-- KEYS open, stats, since, running, waiting   ARGV limit, record key prefix
local now = clock()
local due = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local record = ARGV[2] .. id
  if redis.call('HGET', record, 'state') == 'open' then
    local swept = redis.call('HINCRBY', record, 'swept', 1)
    redis.call('ZADD', KEYS[1], now + math.min(300000, 10000 * 2 ^ swept), id)
    due[#due + 1] = id
  else
    redis.call('HINCRBY', KEYS[2], 'vanished', 1)
    for _, set in ipairs({ KEYS[1], KEYS[3], KEYS[4], KEYS[5] }) do redis.call('ZREM', set, id) end
  end
end
if #due > 0 then redis.call('HINCRBY', KEYS[2], 'swept', #due) end
return due
