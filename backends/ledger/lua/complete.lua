-- complete: a step is done; take the next one in the same call.
-- ARGV id, token, step, files, note, plan, step names, cert, cert sha256, verdict, src_sha256,
--      next nonce, lease ms   ('' where there is none)
local now, token, step = clock(), ARGV[2], ARGV[3]
local plan, names, cert, cert_sha256, verdict = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local src_sha256, nonce = ARGV[11], ARGV[12]
local r = read('state', 'token', 'step', 'steps', 'src_sha256', 'clean_sha256', 'cancel', 'ending',
  'deadline', 'outage', 'error_code', 'commits')

local function answer(ending, next_step, next_token)
  if ending ~= '' then return { 'end', ending, next_token } end
  return { 'go', next_step, next_token }
end

if r.state == 'open' and nonce_of(r.token) == nonce then
  return answer(r.ending, r.step, r.token) -- the reply was lost; here it is again
end
local refusal = guard(r, token)
if refusal then return refusal end

local fields = {}
local function set(name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end

if step == 'pin' then
  if r.src_sha256 ~= '' and r.src_sha256 ~= src_sha256 then return { 'changed' } end
  r.src_sha256 = src_sha256
  set('src_sha256', src_sha256)
  if r.steps == '' then -- frozen by the first pin; a restart keeps it
    r.steps = names
    set('plan', plan)
    set('steps', names)
  end
end
if cert ~= '' then
  if cert_sha256 ~= r.src_sha256 then return { 'refused' } end
  r.clean_sha256 = verdict == 'clean' and cert_sha256 or ''
  set('cert', cert)
  set('clean_sha256', r.clean_sha256)
end

local steps = ',' .. r.steps .. ','
local next_step = steps:match(',' .. step:gsub('%-', '%%-') .. ',([^,]+),')
if not next_step then error('no step follows ' .. step) end
local scans = steps:find(',scan,', 1, true)
if next_step == 'commit' and scans and (r.clean_sha256 == '' or r.clean_sha256 ~= r.src_sha256) then
  return { 'refused' }
end

set('files:' .. step, ARGV[4])
set('note:' .. step, ARGV[5])
set('step', next_step)
if next_step == 'commit' then -- from now on a store may have outputs
  set('commits', r.commits == '' and 'once' or 'again')
end
local ending = due_end(r, now)
if ending ~= '' then
  set('ending', ending)
elseif r.outage == '' or r.outage == step then -- an outage at a later step may last
  got_over(r)
  redis.call('HDEL', job, 'error', 'error_code', 'outage')
end
redis.call('HSET', job, unpack(fields))
return answer(ending, next_step, lease(nonce, now + ARGV[13]))
