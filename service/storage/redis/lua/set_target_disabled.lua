-- Disables a target for a reason, or enables it again.

if given.reason then
  call('HSET', key('targets_disabled'), given.target, given.reason)
else
  call('HDEL', key('targets_disabled'), given.target)
end
return 1
