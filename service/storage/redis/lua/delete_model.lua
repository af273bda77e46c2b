-- Drops a model and all that is kept of it; 1 if there was one.

if call('HEXISTS', key('row'), 'epoch') == 0 then
  return 0
end
for _, pane in ipairs(call('ZRANGE', key('panes'), 0, -1)) do
  call('UNLINK', key('payloads:' .. pane))
end
for _, place in ipairs(call('ZRANGE', key('delivery_order'), 0, -1)) do
  call('UNLINK', key('delivery:' .. string.sub(place, PANE_CHARS + 2)))
end
for _, name in ipairs(given.names) do
  call('UNLINK', key(name))
end
return 1
