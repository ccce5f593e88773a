-- Redis' clock in milliseconds: the only one that decides who works.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
