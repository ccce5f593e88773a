-- crashed: the surviving parent of a child that died at work says so.
-- ARGV id, token, random 0..1, cause ('' where nobody knows)
local now, token = clock(), ARGV[2]
local r = read('state', 'token', 'step', 'ending', 'lost_tokens')

local function blame(step)
  count('crashed')
  if ARGV[4] ~= '' then redis.call('HSET', job, 'cause:' .. step, ARGV[4]) end
  return redis.call('HINCRBY', job, 'crash:' .. step, 1)
end

if r.state == '' then return { 'unknown' } end
if r.state ~= 'open' then return terminal() end
if token == '' or r.token ~= token then
  local step = lost_at(r.lost_tokens, token)
  if not step then return { 'fenced' } end
  -- Taken for lost before the report came: a crash and no loss.
  redis.call('HSET', job, 'lost_tokens', found_again(r.lost_tokens, token))
  blame(step)
  return { 'ok' }
end
-- Who died in settling an end is free: that is repeated without limit.
local crashes = r.ending == '' and blame(r.step) or 0
free(math.ceil(now + ARGV[3] * 5000 * 2 ^ crashes))
return { 'ok' }
