-- Puts notices into the outbox, due at once; those that are there are left alone.

enqueue()
return 1
