-- due: the jobs to wake a worker for now; each is put off, further every time.
-- KEYS open, stats, since, running, waiting
-- ARGV limit, record key prefix, what waits in the queue ('nothing', 'unseen', 'seen'), most wakes a
--      second ('' any), random 0..1, pause between two probes ms, publish_grace ms,
--      jobs at the queue's head, oldest first
local now, open, stats = clock(), KEYS[1], KEYS[2]
local limit, prefix, queue, rate = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local pause, grace = ARGV[6], tonumber(ARGV[7])
math.randomseed(ARGV[5] * 2 ^ 31)

-- Jobs looked at for each one woken: most of a long queue's need nothing.
local LOOKS = 5
-- Where nothing tells how far the queue has come, a wake sent this long ago counts as lost.
local UNSEEN = 600000
-- Two producers may send in another order than the one they were accepted in.
local DISORDER = 1000
-- The longest until the next look. A wake may have died with the worker that had reserved it, and
-- only time tells; a minute of it costs a look or a message, five were most of a late job's wait.
local LATEST = 60000
-- So many releases in a row with the same outage, and nothing done in between, are an outage.
local OUTAGE = 3

local FIELDS = { 'state', 'fence', 'wake', 'accepted_at', 'outage', 'error_code', 'deadline',
  'cancel', 'ending' }

local function read(id)
  local r, values = { key = prefix .. id }, redis.call('HMGET', prefix .. id, unpack(FIELDS))
  for i, name in ipairs(FIELDS) do r[name] = values[i] or '' end
  return r
end

-- When the wake was sent that nobody has taken yet; nil where there is none, 0 where none was sent.
-- Who claims a job has taken its wake, and raises the fence.
local function sent(r)
  local fence, at = r.wake:match('^(%d+):(%d+)$')
  if fence == r.fence then return tonumber(at) end
  return r.fence == '0' and tonumber(r.accepted_at) or nil
end

-- Wakes sent before this have been taken or are lost: the queue is past them. Its head shows that
-- where it can be seen, else the last job that was claimed when nobody but its producer had woken it.
local function passed()
  if queue == 'nothing' then return now end
  for i = 8, #ARGV do
    local r = read(ARGV[i])
    local at = r.state == 'open' and sent(r)
    if at and at > 0 then return at - DISORDER end
  end
  local last = redis.call('HMGET', stats, 'queue:sent', 'queue:at')
  local age = now - (tonumber(last[2]) or 0)
  if age >= 0 and age < UNSEEN then return tonumber(last[1]) - DISORDER end
  return now - UNSEEN
end

-- Whether the job waits for something that is still out: one of those probes it, now and then.
local function held_back(r, id)
  local ends = r.cancel ~= '' or r.ending ~= '' or now > (tonumber(r.deadline) or now)
  if r.outage == '' or ends then return false end
  local met = r.error_code .. ':' .. r.outage
  if tonumber(redis.call('HGET', stats, 'outage:' .. met) or 0) < OUTAGE then return false end
  local probe = 'probe:' .. met
  if now < tonumber(redis.call('HGET', stats, probe) or 0) then return true end
  redis.call('HSET', stats, probe, now + pause)
  return false
end

-- How many wakes this second has left, for all sweepers together.
local second = math.floor(now / 1000)
local this = redis.call('HMGET', stats, 'wakes:second', 'wakes:count')
local woken = tonumber(this[1] or 0) == second and tonumber(this[2]) or 0
if rate ~= '' then limit = math.min(limit, rate - woken) end

local due, past = {}, passed()
local looked = redis.call('ZRANGEBYSCORE', open, '-inf', now, 'LIMIT', 0, ARGV[1] * LOOKS)
for _, id in ipairs(looked) do
  if #due >= limit then break end
  local r = read(id)
  local at = sent(r)
  if r.state ~= 'open' then
    redis.call('HINCRBY', stats, 'vanished', 1)
    for _, set in ipairs({ open, KEYS[3], KEYS[4], KEYS[5] }) do redis.call('ZREM', set, id) end
  elseif at and at > past then -- its wake is still in the queue
    redis.call('ZADD', open, now + math.min(LATEST, math.max(grace, now - at)), id)
  elseif held_back(r, id) then -- until some time after the outage, each until another
    redis.call('ZADD', open, math.ceil(now + pause * (3 + 6 * math.random())), id)
  else
    local swept = redis.call('HINCRBY', r.key, 'swept', 1)
    redis.call('HSET', r.key, 'wake', r.fence .. ':' .. now)
    redis.call('ZADD', open, now + math.min(LATEST, 10000 * 2 ^ swept), id)
    due[#due + 1] = id
  end
end
if #due > 0 then
  redis.call('HINCRBY', stats, 'swept', #due)
  redis.call('HSET', stats, 'wakes:second', second, 'wakes:count', woken + #due)
end
return due
