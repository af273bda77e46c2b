"""Notices on their way out.

Claiming is done in two steps: candidates are found on a reader, however many wait for a receiver that is stuck, and each is
claimed by its number if all still holds. So a full outbox delays no commit.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from service.ports import Delivery, DeliveryState, OutboxNotice, Settled

__all__ = [
    "claim",
    "counts",
    "deliveries",
    "due",
    "enqueue",
    "retry",
    "set_target_disabled",
    "settle",
    "targets_disabled",
]

_ENQUEUE: Final = """
    INSERT INTO deliveries
        (id, target, order_key, sequence, model, state, attempts, created_at_us, next_attempt_us, updated_at_us, last,
         claimed_by, claimed_until_us, notice)
    VALUES (?, ?, ?, ?, ?, 'pending', 0, ?, ?, ?, '', NULL, 0, ?) ON CONFLICT (id) DO NOTHING"""

_IS_DUE: Final = """
    state = 'pending' AND next_attempt_us <= :now_us AND claimed_until_us <= :now_us
    AND NOT EXISTS (
        SELECT 1 FROM deliveries AS earlier
        WHERE earlier.target = delivery.target AND earlier.order_key = delivery.order_key AND earlier.state = 'pending'
            AND (earlier.sequence, earlier.number) < (delivery.sequence, delivery.number)
    )"""
_DUE: Final = f"""
    SELECT number FROM deliveries AS delivery WHERE target = :target AND {_IS_DUE}
    ORDER BY created_at_us, number LIMIT :limit"""  # noqa: S608 - text of ours
_CLAIM: Final = f"""
    UPDATE deliveries AS delivery SET claimed_by = :owner, claimed_until_us = :until_us
    WHERE number = :number AND {_IS_DUE}"""  # noqa: S608 - text of ours

_COLUMNS: Final = (
    "id",
    "target",
    "order_key",
    "sequence",
    "model",
    "notice",
    "state",
    "attempts",
    "created_at_us",
    "next_attempt_us",
    "updated_at_us",
    "last",
)
_DELIVERY: Final = f"SELECT {', '.join(_COLUMNS)} FROM deliveries "  # noqa: S608 - names of ours
_BY_NUMBER: Final = _DELIVERY + "WHERE number = ?"
_DELIVERIES: Final = _DELIVERY + (
    "WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR target = ?2) ORDER BY created_at_us DESC, number DESC LIMIT ?3"
)
_SETTLE: Final = """
    UPDATE deliveries SET state = ?, attempts = attempts + 1, next_attempt_us = ?, updated_at_us = ?, last = ?,
        claimed_by = NULL, claimed_until_us = 0
    WHERE id = ? AND claimed_by = ? AND state = 'pending'"""
_RETRY: Final = """
    UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_us = ?1, updated_at_us = ?1
    WHERE id = ?2 AND state = 'dead'"""


def enqueue(connection: sqlite3.Connection, notices: Sequence[OutboxNotice], now_us: int) -> None:
    """Put notices into the outbox, due at once; those that are there are left alone."""
    rows = [
        (
            notice.id,
            notice.target,
            notice.order_key,
            notice.sequence,
            notice.model,
            notice.created_at_us,
            now_us,
            now_us,
            notice.notice,
        )
        for notice in notices
    ]
    connection.executemany(_ENQUEUE, rows)


def due(connection: sqlite3.Connection, target: str, limit: int, now_us: int) -> Sequence[int]:
    """Numbers of the deliveries that can be claimed, oldest first."""
    return [number for (number,) in connection.execute(_DUE, {"target": target, "limit": limit, "now_us": now_us})]


def claim(
    connection: sqlite3.Connection, numbers: Sequence[int], owner: str, until_us: int, now_us: int
) -> Sequence[Delivery]:
    """Claim those of them that still can be."""
    claimed = []
    for number in numbers:
        wanted = {"number": number, "owner": owner, "until_us": until_us, "now_us": now_us}
        if connection.execute(_CLAIM, wanted).rowcount:
            claimed += _deliveries(connection.execute(_BY_NUMBER, (number,)))
    return claimed


def settle(connection: sqlite3.Connection, owner: str, settled: Sequence[Settled], now_us: int) -> None:
    """End attempts of an owner whose claims nobody else has taken."""
    rows = [(one.state, one.next_attempt_us, now_us, one.last, one.id, owner) for one in settled]
    connection.executemany(_SETTLE, rows)


def deliveries(
    connection: sqlite3.Connection, state: DeliveryState | None, target: str | None, limit: int
) -> Sequence[Delivery]:
    """Latest first."""
    return _deliveries(connection.execute(_DELIVERIES, (state, target, limit)))


def retry(connection: sqlite3.Connection, delivery_id: str, now_us: int) -> bool:
    """Make a dead delivery pending again, at once and with all its attempts before it."""
    return connection.execute(_RETRY, (now_us, delivery_id)).rowcount == 1


def counts(connection: sqlite3.Connection) -> Mapping[tuple[str, DeliveryState], int]:
    """Number of deliveries by target and state."""
    rows = connection.execute("SELECT target, state, count(*) FROM deliveries GROUP BY target, state")
    return {(target, state): number for target, state, number in rows}


def targets_disabled(connection: sqlite3.Connection) -> Mapping[str, str]:
    """Targets that asked for no more, and when."""
    return dict(connection.execute("SELECT target, reason FROM targets_disabled").fetchall())


def set_target_disabled(connection: sqlite3.Connection, target: str, reason: str | None) -> None:
    """Disable a target, or enable it again (None)."""
    if reason is None:
        connection.execute("DELETE FROM targets_disabled WHERE target = ?", (target,))
    else:
        connection.execute("REPLACE INTO targets_disabled VALUES (?, ?)", (target, reason))


def _deliveries(cursor: sqlite3.Cursor) -> list[Delivery]:
    return [Delivery(**dict(zip(_COLUMNS, row, strict=True))) for row in cursor]
