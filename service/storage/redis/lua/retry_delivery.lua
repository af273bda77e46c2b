-- Makes a dead delivery pending again, at once and with all its attempts before it; 1 if there was one.

local delivery = key('delivery:' .. given.id)
local found = call('HMGET', delivery, 'state', 'target', 'updated')
if found[1] ~= 'dead' then
  return 0
end
local at = now()
call('HSET', delivery, 'state', 'pending', 'attempts', 0, 'next', at, 'updated', at)
call('ZREM', key('delivery_ends'), found[3] .. '/' .. given.id)
call('ZADD', key('pending'), 0, place_of(delivery, given.id))
count_delivery(found[2], 'dead', -1)
count_delivery(found[2], 'pending', 1)
return 1
