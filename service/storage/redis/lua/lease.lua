-- Takes or renews a lease, unless another owner's has not run out; 1 if so. Redis drops it long after it has.

local GRACE_MS = 60000
local held = call('HMGET', key('held'), 'owner', 'until')
if held[1] and held[1] ~= given.owner and held[2] > now() then
  return 0
end
local at = now()
local seconds, rest = tonumber(string.sub(at, 2, 14)), tonumber(string.sub(at, 15))
rest = rest + given.ttl_us
local ends = string.format('1%013d%06d', seconds + math.floor(rest / 1000000), rest % 1000000)
call('HSET', key('held'), 'owner', given.owner, 'until', ends)
call('PEXPIRE', key('held'), math.floor(given.ttl_us / 1000) + GRACE_MS)
return 1
