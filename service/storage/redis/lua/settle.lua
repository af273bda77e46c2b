-- Ends attempts of an owner whose claims nobody else has taken.

local at = now()
for _, one in ipairs(given.settled) do
  local delivery = key('delivery:' .. one.id)
  local found = call('HMGET', delivery, 'owner', 'target', 'state')
  if found[1] == given.owner and found[3] == 'pending' then
    call('HINCRBY', delivery, 'attempts', 1)
    call('HSET', delivery, 'owner', '', 'until', '', 'state', one.state, 'next', one.next, 'updated', at,
      'last', one.last)
    if one.state ~= 'pending' then
      call('ZREM', key('pending'), place_of(delivery, one.id))
      call('ZADD', key('delivery_ends'), 0, at .. '/' .. one.id)
      count_delivery(found[2], 'pending', -1)
      count_delivery(found[2], one.state, 1)
    end
  end
end
return 1
