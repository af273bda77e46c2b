-- A model: epoch, owner, configuration, activations; nothing if there is none.

local found = call('HMGET', key('row'), 'epoch', 'owner', 'configuration')
if not found[1] then
  return {}
end
return {found[1], found[2], found[3], call('LRANGE', key('activations'), 0, -1)}
