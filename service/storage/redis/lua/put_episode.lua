-- Changes an episode by hand, unless it or the alert state has changed; 1 if it was.

if call('HEXISTS', key('row'), 'epoch') == 0 or not alert_and_episodes_stand() then
  return 0
end
put_alert_and_episodes()
enqueue()
return 1
