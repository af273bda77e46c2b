-- All values of a model as DUMP gives them, each behind what its key is called.

local names = given.names
for _, pane in ipairs(call('ZRANGE', key('panes'), 0, -1)) do
  names[#names + 1] = 'payloads:' .. pane
end
for _, place in ipairs(call('ZRANGE', key('delivery_order'), 0, -1)) do
  names[#names + 1] = 'delivery:' .. string.sub(place, PANE_CHARS + 2)
end
local found = {}
for _, name in ipairs(names) do
  local value = call('DUMP', key(name))
  if value then
    found[#found + 1] = {key(name), value}
  end
end
return found
