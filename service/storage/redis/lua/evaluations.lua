-- Rows of evaluations of a version whose windows end in a span, latest end first.

local BATCH = 100
local found = {}
local high = '(' .. given.version .. '/' .. given.last
local low = '[' .. given.version .. '/' .. given.first
while #found < given.limit do
  local places = call('ZREVRANGEBYLEX', key('evaluation_ends'), high, low, 'LIMIT', 0, BATCH)
  for _, place in ipairs(places) do
    local number, size = string.match(place, '/%d+:(%d+)/(.*)$')
    if #found < given.limit and (not given.size or size == given.size) then
      found[#found + 1] = cmsgpack.unpack(call('HGET', key('evaluations'), number))[3]
    end
    high = '(' .. place
  end
  if #places < BATCH then
    break
  end
end
return found
