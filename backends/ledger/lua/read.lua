-- read: the time, and a record as it stands ('' where there is none).
-- KEYS job
local fields = redis.call('HGETALL', job)
return { clock(), #fields > 0 and cjson.encode(fields) or '' }
