-- read: the time, then the names and values of the record's fields as they stand.
return { clock(), unpack(redis.call('HGETALL', job)) }
