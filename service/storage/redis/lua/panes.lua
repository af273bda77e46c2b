-- Panes of a series that start in a span, each with all of its payloads.

local found = {}
for _, pane in ipairs(panes_between(given.series, given.first, given.last)) do
  found[#found + 1] = {
    string.sub(pane, -PANE_CHARS),
    call('HGET', key('rows'), pane),
    call('HGET', key('late'), pane) or '0',
    call('LRANGE', key('payloads:' .. pane), 0, -1),
  }
end
return found
