-- Says that numbers of evaluations have been written, or never will be; and forgets of those that nobody spoke of again.

call('ZREM', key('flying'), given.second .. '/' .. given.sequence)
for _, flying in ipairs(call('ZRANGE', key('flying'), 0, -1)) do
  if tonumber(string.match(flying, '^%d+')) + given.forget_s < tonumber(call('TIME')[1]) then
    call('ZREM', key('flying'), flying)
  end
end
return 1
