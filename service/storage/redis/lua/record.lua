-- Writes a step of a version, unless something that it relied on has changed or its role is lost; 1 if it was written.

local versions, evaluated = key('versions'), given.version .. '/evaluated'
if given.fence and not role_is_held(given.fence) then
  return 0
end
if call('HGET', key('row'), 'epoch') ~= given.epoch or (call('HGET', versions, evaluated) or '') ~= given.was then
  return 0
end
for _, read in ipairs(given.relied_on) do
  if rows_of(read.series, read.first, read.last) ~= read.rows then
    return 0
  end
end
for window, times in pairs(given.cleaned) do
  if tonumber(call('HGET', key('dirty'), given.version .. '/' .. window) or 0) ~= times then
    return 0
  end
end
if not alert_and_episodes_stand() then
  return 0
end

if given.reached == '' then
  call('HDEL', versions, evaluated)
else
  call('HSET', versions, evaluated, given.reached)
end
for window in pairs(given.cleaned) do
  call('HDEL', key('dirty'), given.version .. '/' .. window)
end
for _, evaluation in ipairs(given.evaluations) do
  local old = call('HGET', key('evaluation_names'), evaluation.name)
  if old then
    local _, place = unpack(cmsgpack.unpack(call('HGET', key('evaluations'), old)))
    call('ZREM', key('evaluation_ends'), place)
    call('HDEL', key('evaluations'), old)
  end
  local number = string.format('%016d', call('HINCRBY', key('row'), 'evaluations', 1))
  local place = evaluation['end'] .. ':' .. number .. '/' .. evaluation.size
  call('HSET', key('evaluation_names'), evaluation.name, number)
  call('ZADD', key('evaluation_ends'), 0, place)
  call('HSET', key('evaluations'), number, cmsgpack.pack({evaluation.name, place, evaluation.row}))
end
put_alert_and_episodes()
enqueue()
for _, decision in ipairs(given.decisions) do
  local number = string.format('%016d', call('HINCRBY', key('row'), 'decisions', 1))
  call('HSET', key('decisions'), number, decision.document)
  call('ZADD', key('decision_ends'), 0, given.version .. '/' .. decision.ended .. ':' .. number)
end
return 1
