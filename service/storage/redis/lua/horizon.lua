-- Up to which sequence number everything is written that will be. What flies for too long is refused when it lands.

local second = tonumber(call('TIME')[1])
for _, flying in ipairs(call('ZRANGE', key('flying'), 0, -1)) do
  local since, sequence = string.match(flying, '^(%d+)/(%d+)$')
  if tonumber(since) + given.patience_s >= second then
    return tonumber(sequence) - 1
  end
end
return tonumber(call('HGET', key('counters'), 'sequence') or 0)
