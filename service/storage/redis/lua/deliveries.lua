-- Deliveries, latest first, each behind its place among them.

local BATCH = 100
local found = {}
local high = '+'
while #found < given.limit do
  local places = call('ZREVRANGEBYLEX', key('delivery_order'), high, '-', 'LIMIT', 0, BATCH)
  for _, place in ipairs(places) do
    local id = string.sub(place, PANE_CHARS + 2)
    local delivery = call('HMGET', key('delivery:' .. id), 'state', 'target')
    local wanted = (not given.state or given.state == delivery[1]) and (not given.target or given.target == delivery[2])
    if #found < given.limit and wanted then
      found[#found + 1] = {place, delivery_of(id)}
    end
    high = '(' .. place
  end
  if #places < BATCH then
    break
  end
end
return found
