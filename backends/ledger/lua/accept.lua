-- accept: open a record for a job, once.
-- ARGV id, doc, payload_hash, deadline ms, publish_grace ms, record version, woken (1 or '')
local now = clock()
local r = read('state', 'payload_hash')
if r.state == '' then
  redis.call('HSET', job, 'v', ARGV[6], 'state', 'open', 'doc', ARGV[2], 'payload_hash', ARGV[3],
    'step', 'pin', 'token', '', 'fence', 0, 'accepted_at', now, 'next_at', now,
    'deadline', now + ARGV[4])
  if ARGV[7] == '' then
    redis.call('HSET', job, 'wake', '0:0') -- nobody sends one, and none is behind the queue's head
    redis.call('ZADD', open, now, id)
  else
    redis.call('ZADD', open, now + ARGV[5], id)
  end
  redis.call('ZADD', since, now, id)
  count('accepted')
  return { 'new' }
end
-- A job that ended while Redis had forgotten it has no hash here; its envelope was the arbiter.
if r.payload_hash ~= '' and r.payload_hash ~= ARGV[3] then return { 'conflict' } end
if r.state == 'open' then
  -- A write, so that who waits until it is durable has waited for the first one too.
  redis.call('HSET', job, 'state', 'open')
  return { 'open' }
end
return { 'ended', redis.call('HGET', job, 'outcome') }
