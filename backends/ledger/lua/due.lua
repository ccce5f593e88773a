-- due: the jobs somebody must look at now; each is put off, further every time.
-- KEYS open   ARGV limit, record key prefix
local now = clock()
local due = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local record = ARGV[2] .. id
  if redis.call('HGET', record, 'state') == 'open' then
    local swept = redis.call('HINCRBY', record, 'swept', 1)
    redis.call('ZADD', KEYS[1], now + math.min(300000, 10000 * 2 ^ swept), id)
    due[#due + 1] = id
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return due
