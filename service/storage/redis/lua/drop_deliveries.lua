-- Drops deliveries that ended before a time, some at a time; 1 if there may be more.

local places = call('ZRANGEBYLEX', key('delivery_ends'), '-', '(' .. given.before, 'LIMIT', 0, given.limit)
for _, place in ipairs(places) do
  local id = string.match(place, '^%d+/(.*)$')
  local delivery = key('delivery:' .. id)
  local found = call('HMGET', delivery, 'created', 'number', 'target', 'state')
  call('ZREM', key('delivery_ends'), place)
  call('ZREM', key('delivery_order'), found[1] .. found[2] .. '/' .. id)
  call('UNLINK', delivery)
  count_delivery(found[3], found[4], -1)
end
return #places == given.limit and 1 or 0
