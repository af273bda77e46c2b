-- Draws numbers of episodes and deliveries that nobody else gets; the first of them.

return call('HINCRBY', key('counters'), 'number', given.wanted) - given.wanted + 1
