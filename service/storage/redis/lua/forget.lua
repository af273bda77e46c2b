-- Drops evaluations, decisions and closed episodes of a version that ended before a time, some at a time; 1 if there may be
-- more.

if given.epoch and call('HGET', key('row'), 'epoch') ~= given.epoch then
  return 0
end
local low, high = '[' .. given.version .. '/', '(' .. given.version .. '/' .. given.before
local dropped = 0
for _, place in ipairs(call('ZRANGEBYLEX', key('evaluation_ends'), low, high, 'LIMIT', 0, given.limit)) do
  local number = string.match(place, '/%d+:(%d+)/')
  local name = unpack(cmsgpack.unpack(call('HGET', key('evaluations'), number)))
  call('ZREM', key('evaluation_ends'), place)
  call('HDEL', key('evaluation_names'), name)
  call('HDEL', key('evaluations'), number)
  dropped = dropped + 1
end
for _, place in ipairs(call('ZRANGEBYLEX', key('decision_ends'), low, high, 'LIMIT', 0, given.limit)) do
  call('ZREM', key('decision_ends'), place)
  call('HDEL', key('decisions'), string.match(place, ':(%d+)$'))
  dropped = dropped + 1
end
for _, place in ipairs(call('ZRANGE', key('episode_order'), 0, -1)) do
  local id = string.sub(place, PANE_CHARS + 2)
  local open, ended, version = string.match(call('HGET', key('episodes'), id), '^%d+:%d+:([01]):(%d+):([^:]*):')
  if open == '0' and version == given.version and ended < given.before then
    call('ZREM', key('episode_order'), place)
    call('HDEL', key('episodes'), id)
  end
end
return dropped >= given.limit and 1 or 0
