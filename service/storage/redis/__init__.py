"""The store in Redis or Valkey, which the replicas of a service share.

Layout of keys, version 1 (`driftline:{all}:layout`; a program refuses one that it does not know). What stands in braces decides
on the slot of a cluster: all of a model is in one, so each operation on a model is one script, and atomic. Names within keys
are quoted as in a URL, without slashes; times are stamps of twenty digits that sort as the times do.

Of a model, behind `driftline:{m:MODEL}:`::

    row                hash    epoch, owner, configuration; made: the epoch it was made with; counters: evaluations,
                               decisions; numbers that never come back: folds, fences, changes
    role               hash    owner, fence and end of the role to evaluate the model
    activations        list    in the order they were made; activated: set of the references they name
    references         hash    by id, with reference_order (list) and documents (hash)
    series             set     VERSION/REFERENCE/SEGMENT of what has panes
    panes              zset    SERIES/START+WINDOW in order; rows, late, folds: hashes by pane; summed, unfolded: sets
    payloads:PANE      list    its sum, if it is summed, and what was committed since
    versions           hash    VERSION/newest, /advanced, /evaluated; dirty: hash by VERSION/WINDOW
    marks              hash    by idempotency key; mark_order: list
    turns              hash    by sender, its last number and when that was; turn_order: zset by that time
    evaluations        hash    by number; evaluation_names (hash) and evaluation_ends (zset) lead there
    alerts             hash    REVISION:DOCUMENT by VERSION/SEGMENT
    episodes           hash    by id; episode_order and episodes_open: zsets
    decisions          hash    by number; decision_ends: zset of VERSION/END:NUMBER
    delivery:ID        hash    a delivery; delivery_order, pending, delivery_ends: zsets; delivery_counts: hash
    ticket:TICKET      string  answer of a write, for five minutes

Of no model, behind `driftline:{all}:`::

    models, outbox     zset    indexes of names: they may hold too much, never too little; housekeeping strikes names out
    counters           hash    epoch: the last that was drawn; number: of episodes and deliveries
    targets_disabled   hash    reasons by target
    members            hash    by replica, until when it said that it is there

No layout has been released before this one. What never comes back is drawn as the time in microseconds: a failover or an older
backup that takes a number away does not have it drawn again.
"""

from service.storage.redis.connecting import Connecting
from service.storage.redis.store import RedisStore

__all__ = ["Connecting", "RedisStore"]
