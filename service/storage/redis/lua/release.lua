-- Gives a lease back.

if call('HGET', key('held'), 'owner') == given.owner then
  call('UNLINK', key('held'))
end
return 1
