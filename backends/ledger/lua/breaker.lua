-- breaker: one store's circuit, shared by all processes.
-- KEYS circuits   ARGV store, 'enter' | 'succeeded' | 'failed' | 'unsure', probe token ('' none),
--      reason, '1' where the store refuses us, our host, failures that open, window ms, open ms,
--      probe ms, ms after which a host is gone
-- Answers how the circuit stands for us, and '1' where this call has changed that.
local now, store, verb, token = clock(), ARGV[1], ARGV[2], ARGV[3]
local reason, refuses, host, most = ARGV[4], ARGV[5] == '1', ARGV[6], tonumber(ARGV[7])
local window, pause, probing = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local gone = tonumber(ARGV[11])

local raw = redis.call('HGET', KEYS[1], store)
local c = raw and cjson.decode(raw)
  or { failures = 0, first = 0, closed = true, since = now, reason = '', openings = 0 }

-- A host that is gone must not make the next one that is refused the second of two.
if (c.only or '') ~= '' and now - c.retry_at > gone then
  c.closed, c.only, c.since = true, '', c.retry_at + gone
end

-- Who alone is refused may be at fault itself: until another is too, it is open for that host only.
local closed = c.closed or (c.only or '') ~= '' and c.only ~= host

local function keep(answer, changed)
  redis.call('HSET', KEYS[1], store, cjson.encode(c))
  return { answer, changed or '' }
end

local function shut(for_how_long)
  c.closed, c.retry_at, c.probe, c.probe_until, c.reason = false, now + for_how_long, '', 0, reason
end

if verb == 'enter' then
  if closed then return { 'closed', '' } end
  -- A prober that was killed is replaced when its token has run out.
  if now < c.retry_at or now < c.probe_until then return { 'open', '' } end
  c.probe, c.probe_until = token, now + probing
  return keep('half-open')
end

if verb == 'succeeded' then
  if closed then
    if c.failures == 0 then return { 'closed', '' } end
    c.failures = 0
    return keep('closed')
  end
  -- A call from before the circuit opened proves nothing of now.
  if token == '' then return { 'open', '' } end
  c.closed, c.failures, c.since, c.only = true, 0, now, ''
  return keep('closed', '1')
end

if verb == 'unsure' then -- a probe that learned nothing of the store: the next caller is one
  if closed then return { 'closed', '' } end
  if token == c.probe then c.probe, c.probe_until = '', 0 end
  return keep('open')
end

if not closed then
  if token ~= '' and token == c.probe then
    shut(pause)
    return keep('open')
  end
  return { 'open', '' }
end
if now - c.first > window then c.failures, c.first = 0, now end
c.failures = c.failures + 1
if not refuses and c.failures < most then return keep('closed') end
c.since, c.openings, c.only = now, c.openings + 1, refuses and c.closed and host or ''
shut(pause)
return keep('open', '1')
