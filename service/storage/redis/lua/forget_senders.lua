-- Forgets senders whose last turn was before a time, and the longest silent beyond a number, some at a time: how many by time,
-- and by number.

local function forget(senders)
  for _, sender in ipairs(senders) do
    call('HDEL', key('turns'), sender)
    call('ZREM', key('turn_order'), sender)
  end
  return #senders
end

local before = string.format('(%.0f', given.before)
local by_time = forget(call('ZRANGEBYSCORE', key('turn_order'), '-inf', before, 'LIMIT', 0, given.limit))
local surplus = math.min(call('ZCARD', key('turn_order')) - given.number_max, given.limit - by_time)
return {by_time, surplus > 0 and forget(call('ZRANGE', key('turn_order'), 0, surplus - 1)) or 0}
