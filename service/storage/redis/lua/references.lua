-- Rows of the references of a model, in the order in which they came.

local found = {}
for _, id in ipairs(call('LRANGE', key('reference_order'), 0, -1)) do
  found[#found + 1] = call('HGET', key('references'), id)
end
return found
