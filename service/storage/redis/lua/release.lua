-- Gives the role of a model back.

if call('HGET', key('role'), 'owner') == given.owner then
  call('UNLINK', key('role'))
end
return 1
