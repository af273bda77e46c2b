-- Some panes as they stand, for a fold: fold number, how many payloads are sums (0 or 1), the first payloads.

local found = {}
for i, pane in ipairs(given.panes) do
  local payloads = call('LRANGE', key('payloads:' .. pane), 0, given.limit - 1)
  found[i] = {call('HGET', key('folds'), pane), call('SISMEMBER', key('summed'), pane), payloads}
end
return found
