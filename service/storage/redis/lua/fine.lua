-- What there is to coarsen: the generation of the model, and the summed panes of old windows that do not start with them.

local found = {}
for _, series in ipairs(call('SMEMBERS', key('series'))) do
  if string.match(series, '^[^/]*') == given.version then
    for _, pane in ipairs(panes_between(series, '', ':')) do
      local start, window = string.sub(pane, -PANE_CHARS, -PANE_CHARS / 2 - 1), window_of(pane)
      if start ~= window and window <= given.oldest and call('SISMEMBER', key('summed'), pane) == 1 then
        found[#found + 1] = pane
      end
    end
  end
end
return {call('HGET', key('row'), 'made'), found}
