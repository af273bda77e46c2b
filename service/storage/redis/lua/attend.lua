-- Says that a replica is there for a while, and drops those that said so too long ago; all that are.

local at = now()
call('HSET', key('members'), given.member, later(at, given.ttl_us))
local found, there = call('HGETALL', key('members')), {}
for i = 1, #found, 2 do
  if found[i + 1] > at then
    there[#there + 1] = found[i]
  else
    call('HDEL', key('members'), found[i])
  end
end
return there
