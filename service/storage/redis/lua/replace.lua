-- Puts a sum in the place of what it was made of, if all of that is as it was read. The pane that keeps the sum may have had
-- more payloads since, which stay; a pane that goes into it may not.

if call('HGET', key('row'), 'made') ~= given.made then
  return 0
end
for _, part in ipairs(given.parts) do
  local length = call('LLEN', key('payloads:' .. part.pane))
  local fold = call('HGET', key('folds'), part.pane)
  if (fold or '') ~= part.fold or length < part.payloads then
    return 0
  end
  if part.pane ~= given.pane and (not fold or length > part.payloads) then
    return 0
  end
end
begin_pane(given.pane)
local payloads = key('payloads:' .. given.pane)
for _, part in ipairs(given.parts) do
  if part.pane == given.pane then
    if part.payloads > 0 then
      call('LTRIM', payloads, part.payloads, -1)
    end
  else
    call('HINCRBY', key('rows'), given.pane, call('HGET', key('rows'), part.pane))
    call('HINCRBY', key('late'), given.pane, call('HGET', key('late'), part.pane) or 0)
    drop_pane(part.pane)
  end
end
call('LPUSH', payloads, blob(given.payload))
call('HSET', key('folds'), given.pane, drawn(key('row'), 'folds'))
call('SADD', key('summed'), given.pane)
if call('LLEN', payloads) == 1 then
  call('SREM', key('unfolded'), given.pane)
end
return 1
