-- Drops a reference that no activation names and no pane needs; 1 if it was dropped.

if call('SISMEMBER', key('activated'), given.id) == 1 then
  return 0
end
for _, series in ipairs(call('SMEMBERS', key('series'))) do
  if string.match(series, '^[^/]*/([^/]*)') == given.quoted then
    return 0
  end
end
call('LREM', key('reference_order'), 0, given.id)
call('HDEL', key('documents'), given.id)
return call('HDEL', key('references'), given.id)
