-- Drops panes and marks of dirt that are kept no longer, some at a time: how many panes, and whether there may be more.

if given.epoch and call('HGET', key('row'), 'epoch') ~= given.epoch then
  return {0, 0}
end
local expired, dropped = 0, 0
for _, series in ipairs(call('SMEMBERS', key('series'))) do
  local version, reference = string.match(series, '^([^/]*)/([^/]*)')
  if version == given.version then
    local learned = given.learned and reference == given.learning
    for _, pane in ipairs((given.oldest or learned) and panes_between(series, '', ':') or {}) do
      local old = given.oldest and window_of(pane) <= given.oldest
      if dropped < given.limit and (old or learned) then
        drop_pane(pane)
        dropped = dropped + 1
        expired = expired + (old and 1 or 0)
      end
    end
  end
end
for _, field in ipairs(given.oldest and call('HKEYS', key('dirty')) or {}) do
  local version, window = string.match(field, '^(.*)/(%d+)$')
  if version == given.version and window <= given.oldest then
    call('HDEL', key('dirty'), field)
  end
end
return {expired, dropped == given.limit and 1 or 0}
