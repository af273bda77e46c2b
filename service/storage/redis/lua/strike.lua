-- Takes names out of an index that nothing is kept of, unless they were enlisted anew since.

for _, one in ipairs(given.names) do
  if call('ZSCORE', key(given.index), one.name) == one.since then
    call('ZREM', key(given.index), one.name)
  end
end
return 1
