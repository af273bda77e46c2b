-- Number, end and document of decisions whose windows end in a span.

local found = {}
local low, high = '[' .. given.version .. '/' .. given.first, '(' .. given.version .. '/' .. given.last
for _, place in ipairs(call('ZRANGEBYLEX', key('decision_ends'), low, high)) do
  local ended, number = string.match(place, '/(%d+):(%d+)$')
  found[#found + 1] = {number, ended, call('HGET', key('decisions'), number)}
end
return found
