-- Keeps the row of a reference, and its document; a ready one keeps the document that it has.

if call('HEXISTS', key('references'), given.id) == 0 then
  call('RPUSH', key('reference_order'), given.id)
end
call('HSET', key('references'), given.id, given.row)
if given.document then
  call('HSET', key('documents'), given.id, blob(given.document))
elseif given.state ~= 'ready' then
  call('HDEL', key('documents'), given.id)
end
return 1
