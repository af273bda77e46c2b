-- Adds counts, marks and a turn, unless the turn is over, a mark is known or the epoch has moved on. One that was refused may
-- come again under the same ticket, counted anew.
--
-- A list of payloads that was empty is a new pane, and one with three is known to be unfolded: what need not be asked is not,
-- since asking costs more than counting.

local epoch = call('HGET', key('row'), 'epoch')
keeps_ticket = false
if not epoch then
  return {'stale', {}}
end
-- Known before stale: what has been counted need not be counted anew by the new epoch.
local turn = given.turn
if turn then
  local last = call('HGET', key('turns'), turn.sender)
  if last and string.sub(last, 1, STAMP_CHARS) >= turn.number then
    return {'passed', {}}
  end
end
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

local evaluated, at = {}, nil
for version, newest in pairs(given.newest) do
  local reached = call('HMGET', key('versions'), version .. '/newest', version .. '/evaluated')
  evaluated[version] = reached[2]
  if not reached[1] or reached[1] < newest then
    at = at or now()
    call('HSET', key('versions'), version .. '/newest', newest, version .. '/advanced', at)
  end
end
for _, delta in ipairs(given.deltas) do
  local payloads = call('RPUSH', key('payloads:' .. delta.pane), blob(delta.payload))
  if payloads == 1 then
    begin_pane(delta.pane)
  end
  if payloads <= 2 then
    call('SADD', key('unfolded'), delta.pane)
  end
  call('HINCRBY', key('rows'), delta.pane, delta.rows)
  if delta.late ~= 0 then
    call('HINCRBY', key('late'), delta.pane, delta.late)
  end
  if evaluated[delta.version] == nil then
    evaluated[delta.version] = call('HGET', key('versions'), delta.version .. '/evaluated')
  end
  local window = window_of(delta.pane)
  if evaluated[delta.version] and window < evaluated[delta.version] then
    call('HINCRBY', key('dirty'), delta.version .. '/' .. window, 1)
  end
end
for _, mark in ipairs(given.marks) do
  at = at or now()
  if call('HSET', key('marks'), mark.key, cmsgpack.pack({mark.digest, mark.answer, at})) == 1 then
    call('RPUSH', key('mark_order'), mark.key)
  end
end
if turn then
  at = at or now()
  call('HSET', key('turns'), turn.sender, turn.number .. at)
  call('ZADD', key('turn_order'), string.sub(at, 2), turn.sender)
end
return {'committed', {}}
