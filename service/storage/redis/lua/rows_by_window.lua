-- Start of the window and rows of each pane whose window starts in a span. No pane starts before its window.

local found = {}
for _, pane in ipairs(panes_between(given.series, given.first, ':')) do
  local window = window_of(pane)
  if given.first <= window and window < given.last then
    found[#found + 1] = window
    found[#found + 1] = call('HGET', key('rows'), pane)
  end
end
return found
