-- read: the time, and a record as it stands ('' where there is none).
local fields = redis.call('HGETALL', job)
return { clock(), #fields > 0 and cjson.encode(fields) or '' }
