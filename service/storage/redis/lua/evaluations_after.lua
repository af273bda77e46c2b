-- Sequence number and row of evaluations in a span of sequence numbers.

local found = {}
local wanted = call('ZRANGEBYSCORE', key('evaluation_order'), '(' .. given.after, given.horizon, 'LIMIT', 0, given.limit)
for _, sequence in ipairs(wanted) do
  found[#found + 1] = {sequence, cmsgpack.unpack(call('HGET', key('evaluations'), sequence))[3]}
end
return found
