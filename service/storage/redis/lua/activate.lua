-- Appends an activation, if the model stands as the caller knows it; 1 if so.

if call('HGET', key('row'), 'epoch') ~= given.known then
  return 0
end
call('RPUSH', key('activations'), given.activation)
call('SADD', key('activated'), given.reference)
call('HSET', key('row'), 'epoch', given.epoch)
return 1
