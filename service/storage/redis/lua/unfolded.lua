-- What there is to fold: the generation of the model, and panes that have payloads beside their sum.

return {call('HGET', key('row'), 'made'), call('SMEMBERS', key('unfolded'))}
