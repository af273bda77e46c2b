-- Row of a reference and its document.

return {call('HGET', key('references'), given.id), call('HGET', key('documents'), given.id)}
