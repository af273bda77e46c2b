-- Draws an epoch. It is the time, so that none comes back whose drawing was lost with a failover or is not in a backup; but at
-- least one more than the last one, and than the one that the model is known to have.

return tonumber(drawn(key('counters'), 'epoch', given.known))
