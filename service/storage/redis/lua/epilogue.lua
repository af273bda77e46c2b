-- Stands behind every script: a write that is sent again, because its answer was lost, is answered as it was and not done
-- twice.

if ARGV[2] == '' then
  return operation()
end
local ticket = key('ticket:' .. ARGV[2])
local answered = call('GET', ticket)
if answered then
  call('PEXPIRE', ticket, TICKETS_KEPT_MS) -- a write: replicas that do not have the first one are waited for
  return cmsgpack.unpack(answered)
end
local answer = operation()
if call('HEXISTS', key('row'), 'epoch') == 1 then
  drawn(key('row'), 'changes') -- so that readers need not read what is as it was
end
if keeps_ticket then
  call('SET', ticket, cmsgpack.pack(answer), 'PX', TICKETS_KEPT_MS)
end
return answer
