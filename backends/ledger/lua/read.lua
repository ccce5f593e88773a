-- read: a record as it stands, and the time.
-- KEYS job
return { clock(), redis.call('HGETALL', job) }
