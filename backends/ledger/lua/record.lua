-- Read before every transition of one job: its record, and what several transitions share.
-- KEYS job, open, stats, since, running, waiting   ARGV id, …   Times are milliseconds.

local job, open, stats, since, running, waiting = unpack(KEYS, 1, 6)
local id = ARGV[1]

local function count(what)
  redis.call('HINCRBY', stats, what, 1)
end

-- Outages of a system that all workers share. While one lasts, few of its jobs are woken (due).
local SHARED = { storage_unavailable = true, scanner_unavailable = true }

-- A job met an outage, or got over one: told apart from one bad moment by their number in a row.
-- Each step's is its own: `pin` needs another store than `commit`.
local function met(code, step)
  if SHARED[code] then count('outage:' .. code .. ':' .. step) end
end

local function got_over(record)
  if record.outage ~= '' then
    redis.call('HDEL', stats, 'outage:' .. record.error_code .. ':' .. record.outage)
  end
end

-- The named fields of the record; a missing one is ''.
local function read(...)
  local names, values, record = { ... }, redis.call('HMGET', job, ...), {}
  for i, name in ipairs(names) do record[name] = values[i] or '' end
  return record
end

local function number(text)
  return tonumber(text) or 0
end

local function terminal()
  return { 'terminal', redis.call('HGET', job, 'outcome') }
end

local function nonce_of(token)
  return token:match(':(.*)$') or ''
end

-- Lost tokens stand in one field as 'token=step;' each, oldest first. How many are *step*'s?
local function lost(list, step)
  local count = 0
  for name in list:gmatch('=([^;]*);') do
    if name == step then count = count + 1 end
  end
  return count
end

-- At which step *token* was lost; nil when it is not in the list.
local function lost_at(list, token)
  for held, step in list:gmatch('([^=;]*)=([^;]*);') do
    if held == token then return step end
  end
end

-- The list without *token*: its owner came back, so it was never lost.
local function found_again(list, token)
  local kept = ''
  for entry in list:gmatch('[^;]+;') do
    if entry:sub(1, #token + 1) ~= token .. '=' then kept = kept .. entry end
  end
  return kept
end

-- The end that is due now whatever step runs, or ''. A deadline that passed while something
-- outside was down ends the job under that outage's name.
local function due_end(record, now)
  if record.ending ~= '' then return record.ending end
  if record.cancel ~= '' then return 'cancelled' end
  if now > number(record.deadline) then
    return 'failed:' .. (record.outage ~= '' and record.error_code or 'deadline')
  end
  return ''
end

-- Why the holder of *token* may not go on, as the answer to give; nil when it may.
-- A lease that ran out but was not taken over still passes: it harms nobody.
local function guard(record, token)
  if record.state == '' then return { 'unknown' } end
  if record.state ~= 'open' then return terminal() end
  if record.token == token then return nil end
  local list = redis.call('HGET', job, 'lost_tokens') or ''
  local kept = found_again(list, token)
  if kept ~= list then redis.call('HSET', job, 'lost_tokens', kept) end
  count('fenced')
  return { 'fenced' }
end

-- Give the job to the owner of *nonce* until the lease runs out.
local function lease(nonce, lease_until)
  local token = redis.call('HINCRBY', job, 'fence', 1) .. ':' .. nonce
  redis.call('HSET', job, 'token', token, 'lease_until', lease_until, 'swept', 0)
  redis.call('ZADD', open, lease_until, id)
  redis.call('ZADD', running, lease_until, id)
  return token
end

-- Nobody holds the job, and nobody is to take it before *next_at*. Its last wake has been taken.
local function free(next_at)
  redis.call('HSET', job, 'token', '', 'lease_until', 0, 'next_at', next_at, 'wake', '')
  redis.call('ZADD', open, next_at, id)
  redis.call('ZREM', running, id)
  redis.call('ZADD', waiting, next_at, id)
end

-- Back to the first step. Counters, plan and src_sha256 stay: a step that kills its workers
-- must not get fresh chances, and the bytes must be the same again.
local function restart()
  for _, name in ipairs(redis.call('HKEYS', job)) do
    if name:sub(1, 6) == 'files:' or name:sub(1, 5) == 'note:' then
      redis.call('HDEL', job, name)
    end
  end
  redis.call('HDEL', job, 'cert', 'clean_sha256')
  redis.call('HSET', job, 'step', 'pin')
end
