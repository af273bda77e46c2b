-- Seconds and microseconds by the server's clock.

return call('TIME')
