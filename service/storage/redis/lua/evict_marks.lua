-- Drops marks that were made before a time, and the oldest beyond a number, some at a time: how many by time, and by number.

local by_time, by_number = 0, 0
local length = call('LLEN', key('mark_order'))
while length > 0 and by_time + by_number < given.limit do
  local oldest = call('LINDEX', key('mark_order'), 0)
  local at = cmsgpack.unpack(call('HGET', key('marks'), oldest))[3]
  -- A mark behind a younger one stays: the clock was set back, and one kept too long does no harm.
  if at < given.before then
    by_time = by_time + 1
  elseif length > given.number_max then
    by_number = by_number + 1
  else
    break
  end
  call('LPOP', key('mark_order'))
  call('HDEL', key('marks'), oldest)
  length = length - 1
end
return {by_time, by_number}
