-- heal_put: when somebody is to look at jobs of which the secondary has something.
-- KEYS heal   ARGV NX (only new ones) or XX (only those that are there), in how many ms, ids…
local at, words = clock() + ARGV[2], {}
for i = 3, #ARGV do
  words[#words + 1] = at
  words[#words + 1] = ARGV[i]
end
return redis.call('ZADD', KEYS[1], ARGV[1], unpack(words))
