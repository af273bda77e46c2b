-- Claims those deliveries that still can be.

local at = now()
local claimed = {}
for _, id in ipairs(given.ids) do
  local delivery = key('delivery:' .. id)
  local found = call('HMGET', delivery, 'state', 'next', 'until')
  if found[1] == 'pending' and found[2] <= at and found[3] <= at then
    local place = place_of(delivery, id)
    local chain = string.match(place, '^[^/]*/[^/]*/')
    if call('ZRANGEBYLEX', key('pending'), '[' .. chain, '+', 'LIMIT', 0, 1)[1] == place then
      call('HSET', delivery, 'owner', given.owner, 'until', given.ends)
      claimed[#claimed + 1] = delivery_of(id)
    end
  end
end
return claimed
