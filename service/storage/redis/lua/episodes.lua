-- Episodes, latest first.

local found = {}
if given.limit > 0 then
  for _, place in ipairs(call('ZREVRANGE', key(given.open and 'episodes_open' or 'episode_order'), 0, given.limit - 1)) do
    found[#found + 1] = {place, call('HGET', key('episodes'), string.sub(place, PANE_CHARS + 2))}
  end
end
return found
