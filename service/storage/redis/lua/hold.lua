-- Takes or renews the role of a model, unless another owner's has not run out; its fence, or 0 if it is not the owner's now.

if call('HEXISTS', key('row'), 'epoch') == 0 then
  return 0
end
local at = now()
local held = call('HMGET', key('role'), 'owner', 'fence', 'until')
local runs = held[1] and held[3] > at
if runs and held[1] ~= given.owner then
  return 0
end
local fence = runs and held[2] or drawn(key('row'), 'fences')
call('HSET', key('role'), 'owner', given.owner, 'fence', fence, 'until', later(at, given.ttl_us))
return tonumber(fence)
