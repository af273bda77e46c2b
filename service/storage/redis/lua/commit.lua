-- Adds counts and marks, unless a mark is known or the epoch has moved on. One that was refused may come again under the same
-- ticket, counted anew.

local epoch = call('HGET', key('row'), 'epoch')
keeps_ticket = false
if not epoch then
  return {'stale', {}}
end
-- Known before stale: what has been counted need not be counted anew by the new epoch.
local known = {}
for _, mark in ipairs(given.marks) do
  local found = call('HGET', key('marks'), mark.key)
  if found then
    local digest, answer = unpack(cmsgpack.unpack(found))
    known[#known + 1] = {mark.key, digest, answer}
  end
end
if #known > 0 then
  return {'duplicate', known}
end
if epoch ~= given.epoch then
  return {'stale', {}}
end
keeps_ticket = true

local at = now()
for version, newest in pairs(given.newest) do
  local was = call('HGET', key('versions'), version .. '/newest')
  if not was or was < newest then
    call('HSET', key('versions'), version .. '/newest', newest, version .. '/advanced', at)
  end
end
for _, delta in ipairs(given.deltas) do
  begin_pane(delta.pane)
  call('HINCRBY', key('rows'), delta.pane, delta.rows)
  call('HINCRBY', key('late'), delta.pane, delta.late)
  call('RPUSH', key('payloads:' .. delta.pane), delta.payload)
  call('SADD', key('unfolded'), delta.pane)
  local evaluated = call('HGET', key('versions'), delta.version .. '/evaluated')
  local window = window_of(delta.pane)
  if evaluated and window < evaluated then
    call('HINCRBY', key('dirty'), delta.version .. '/' .. window, 1)
  end
end
for _, mark in ipairs(given.marks) do
  if call('HSET', key('marks'), mark.key, cmsgpack.pack({mark.digest, mark.answer, at})) == 1 then
    call('RPUSH', key('mark_order'), mark.key)
  end
end
return {'committed', {}}
