-- Makes a model or changes it, if it stands as the caller knows it; 1 if so.

if (call('HGET', key('row'), 'epoch') or '') ~= given.known then
  return 0
end
if given.known == '' then
  call('HSET', key('row'), 'made', given.epoch)
end
call('HSET', key('row'), 'epoch', given.epoch, 'owner', given.owner, 'configuration', given.configuration)
return 1
