-- heal_drop: there is nothing of a job to be healed, or no longer.
-- KEYS heal, stranded   ARGV id
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
