-- release: give a job back, to be taken up again after a delay.
-- ARGV id, token, delay ms, counted (1 or ''), error, error code, restart (1 or ''), attempts_max
local r = read('state', 'token', 'step')
local refusal = guard(r, ARGV[2])
if refusal then return refusal end
local counted, code = ARGV[4] ~= '', ARGV[6]
free(clock() + ARGV[3])
if code ~= '' then
  redis.call('HSET', job, 'error', ARGV[5], 'error_code', code, 'outage', counted and '' or r.step)
  if not counted then met(code, r.step) end
end
-- Ended here and not at the next claim, which after a restart stands before another step.
if counted and redis.call('HINCRBY', job, 'attempts:' .. r.step, 1) >= tonumber(ARGV[8]) then
  redis.call('HSETNX', job, 'ending', 'failed:' .. (code ~= '' and code or 'step_failed'))
end
if ARGV[7] ~= '' then restart() end
return { 'ok' }
