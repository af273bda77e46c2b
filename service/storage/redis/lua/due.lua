-- Deliveries of a target that can be claimed: the first pending one of each order key, if it is due and nobody is at it.

local at = now()
local found = {}
local from = '[' .. given.target .. '/'
while true do
  local place = call('ZRANGEBYLEX', key('pending'), from, '(' .. given.target .. '0', 'LIMIT', 0, 1)[1]
  if not place then
    break
  end
  local chain, id = string.match(place, '^([^/]*/[^/]*)/%d+/(.*)$')
  local delivery = call('HMGET', key('delivery:' .. id), 'created', 'number', 'next', 'until')
  if delivery[3] <= at and delivery[4] <= at then
    found[#found + 1] = {delivery[1] .. delivery[2], id}
  end
  from = '[' .. chain .. '0'
end
table.sort(found, function(one, other) return one[1] < other[1] end)
while #found > given.limit do
  table.remove(found)
end
return found
