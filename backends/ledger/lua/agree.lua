-- agree: the first who says a value has its way, as long as somebody goes on saying it.
-- KEYS agreed   ARGV value, for how many ms
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return { held } end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return { ARGV[1] }
