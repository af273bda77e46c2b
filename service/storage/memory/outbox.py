"""Notices on their way out, in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from service.ports import Delivery, DeliveryState, OutboxNotice, Settled
from service.storage.memory.state import OutboxState, State

__all__ = ["claim", "deliveries", "drop", "enqueue", "retry", "settle"]


def enqueue(state: State, notices: Sequence[OutboxNotice], now_us: int) -> None:
    """Put notices into the outbox, due at once; those that are there are left alone."""
    for notice in notices:
        if notice.id not in state.outbox:
            delivery = Delivery(
                id=notice.id,
                target=notice.target,
                order_key=notice.order_key,
                sequence=notice.sequence,
                model=notice.model,
                notice=notice.notice,
                state="pending",
                attempts=0,
                created_at_us=notice.created_at_us,
                next_attempt_us=now_us,
                updated_at_us=now_us,
                last="",
            )
            state.outbox[notice.id] = OutboxState(number=state.next_number(), delivery=delivery)


def drop(state: State, before_us: int) -> None:
    """Drop what was delivered or given up before a time."""
    old = [key for key, row in state.outbox.items() if row.delivery.updated_at_us < before_us]
    for key in old:
        if state.outbox[key].delivery.state != "pending":
            del state.outbox[key]


def claim(state: State, target: str, owner: str, until_us: int, *, limit: int, now_us: int) -> Sequence[Delivery]:
    """Claim what is due for a target, oldest first."""
    due = [row for row in _firsts(state, target) if row.delivery.next_attempt_us <= now_us >= row.claimed_until_us]
    claimed = sorted(due, key=lambda row: (row.delivery.created_at_us, row.number))[:limit]
    for row in claimed:
        row.claimed_by, row.claimed_until_us = owner, until_us
    return [row.delivery for row in claimed]


def settle(state: State, owner: str, settled: Sequence[Settled], now_us: int) -> None:
    """End attempts of an owner whose claims nobody else has taken."""
    for one in settled:
        row = state.outbox.get(one.id)
        if row is not None and row.claimed_by == owner:
            row.claimed_by, row.claimed_until_us = None, 0
            row.delivery = replace(
                row.delivery,
                state=one.state,
                attempts=row.delivery.attempts + 1,
                next_attempt_us=one.next_attempt_us,
                updated_at_us=now_us,
                last=one.last,
            )


def deliveries(state: State, wanted: DeliveryState | None, target: str | None, limit: int) -> Sequence[Delivery]:
    """Latest first."""
    rows = [
        row
        for row in state.outbox.values()
        if wanted in {None, row.delivery.state} and target in {None, row.delivery.target}
    ]
    rows.sort(key=lambda row: (row.delivery.created_at_us, row.number), reverse=True)
    return [row.delivery for row in rows[:limit]]


def retry(state: State, delivery_id: str, now_us: int) -> bool:
    """Make a dead delivery pending again, at once and with all its attempts before it."""
    row = state.outbox.get(delivery_id)
    if row is None or row.delivery.state != "dead":
        return False
    row.delivery = replace(row.delivery, state="pending", attempts=0, next_attempt_us=now_us, updated_at_us=now_us)
    return True


def _firsts(state: State, target: str) -> Iterator[OutboxState]:
    """The first pending delivery of each order key."""
    firsts: dict[str, OutboxState] = {}
    pending = (
        row for row in state.outbox.values() if row.delivery.state == "pending" and row.delivery.target == target
    )
    for row in sorted(pending, key=lambda row: (row.delivery.sequence, row.number)):
        firsts.setdefault(row.delivery.order_key, row)
    return iter(firsts.values())
