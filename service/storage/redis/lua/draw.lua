-- Draws numbers that nobody else gets: of epochs, of evaluations, and of episodes and deliveries; the first of each, and the
-- second in which. Who draws numbers of evaluations is waited for by readers until they are landed.

local time = call('TIME')
local epoch = call('HINCRBY', key('counters'), 'epoch', given.epochs) - given.epochs + 1
local number = call('HINCRBY', key('counters'), 'number', given.numbers) - given.numbers + 1
local sequence = call('HINCRBY', key('counters'), 'sequence', given.sequences) - given.sequences + 1
if given.sequences > 0 then
  call('ZADD', key('flying'), sequence, time[1] .. '/' .. sequence)
  if given.model then -- before anything is written: it may hold too much, never too little
    call('ZADD', key('evaluated'), sequence + given.sequences - 1, given.model)
  end
end
return {epoch, sequence, number, tonumber(time[1])}
