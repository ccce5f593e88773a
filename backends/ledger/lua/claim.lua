-- claim: take a job that nobody works on.
-- ARGV id, node, nonce, random 0..1, lease ms, crash_max, lost_max, record version
local now, node, nonce = clock(), ARGV[2], ARGV[3]
local lost_max = tonumber(ARGV[7])
local r = read('v', 'state', 'token', 'lease_until', 'next_at', 'step', 'cancel', 'ending',
  'deadline', 'outage', 'error_code', 'ws_node', 'lost_tokens', 'fence', 'wake', 'accepted_at')

local function answer(ending, token)
  local record = redis.call('HGETALL', job)
  if ending ~= '' then return { 'end', ending, token, record } end
  return { 'go', r.step, token, record }
end

-- The queue has come to the wake that was sent when this job was accepted: nobody sent it another.
-- Of a job that was woken again this would not be known: its first wake may come after all.
local function note_queue()
  local sent = number(r.accepted_at)
  if r.fence ~= '0' or r.wake ~= '' then return end
  if sent > number(redis.call('HGET', stats, 'queue:sent')) then
    redis.call('HSET', stats, 'queue:sent', sent, 'queue:at', now)
  end
end

-- The list with no more of this step than count. Each step keeps its own: where the losses of one
-- push out another's, a job that loses its workers at both in turn is never poison.
local function latest(list)
  local surplus, kept = lost(list, r.step) - lost_max, ''
  for entry, step in list:gmatch('([^=;]*=([^;]*);)') do
    if step == r.step and surplus > 0 then
      surplus = surplus - 1
    else
      kept = kept .. entry
    end
  end
  return kept
end

if r.state == '' then return { 'unknown' } end
if number(r.v) > tonumber(ARGV[8]) then return { 'wait' } end -- for a newer worker
if r.state ~= 'open' then return terminal() end
if number(r.lease_until) > now then
  if nonce_of(r.token) == nonce then return answer(r.ending, r.token) end -- the reply was lost
  return { 'busy' }
end
if number(r.next_at) > now then return { 'wait' } end

if r.token ~= '' and r.ending == '' then -- a lease ran out and was never given back
  r.lost_tokens = latest(r.lost_tokens .. r.token .. '=' .. r.step .. ';')
  redis.call('HSET', job, 'lost_tokens', r.lost_tokens, 'token', '')
  count('lost')
  local losses = lost(r.lost_tokens, r.step)
  if losses >= 2 then -- the first loss is nobody's fault; later ones wait
    free(math.ceil(now + ARGV[4] * math.min(60000, 5000 * 2 ^ losses)))
    return { 'wait' }
  end
end

local ending = due_end(r, now)
if ending == '' then
  local crashes = number(redis.call('HGET', job, 'crash:' .. r.step))
  if crashes >= tonumber(ARGV[6]) or lost(r.lost_tokens, r.step) >= lost_max then
    ending = 'failed:poison'
  end
end
if ending ~= '' then
  redis.call('HSET', job, 'ending', ending)
else
  if r.step ~= 'pin' and r.ws_node ~= node then
    restart()
    r.step = 'pin'
  end
  if r.step == 'pin' then redis.call('HSET', job, 'ws_node', node, 'ws_id', nonce) end
  if r.step == 'commit' then redis.call('HSET', job, 'commits', 'again') end
end
note_queue()
redis.call('ZREM', waiting, id)
return answer(ending, lease(nonce, now + ARGV[5]))
