"""Dropping what is kept no longer, some at a time, so that nobody waits for long."""

from collections.abc import Sequence
from typing import Final

from service.ports import LEARNING, Keeping
from service.storage.redis import keys
from service.storage.redis.server import Given, Server

__all__ = ["drop_deliveries", "evict_marks", "expire", "forget_senders"]

_BATCH: Final = 200
_MARKS_BATCH: Final = 1_000


async def expire(server: Server, keepings: Sequence[Keeping]) -> int:
    """Drop what is older than is kept of versions; how many panes."""
    calls = [_expiry(keeping) for keeping in keepings if keeping.expire_before_us is not None or keeping.learned]
    expired = 0
    while calls:
        found = await server.writes("expire", calls)
        expired += sum(some for some, _ in found)
        calls = [call for call, (_, more) in zip(calls, found, strict=True) if more]
    calls = [_oblivion(keeping) for keeping in keepings if keeping.evaluations_before_us is not None]
    while calls:
        found = await server.writes("forget", calls)
        calls = [call for call, more in zip(calls, found, strict=True) if more]
    return expired


async def evict_marks(server: Server, models: Sequence[str], before_us: int, number_max: int) -> int:
    """Drop marks that were made before a time, and the oldest beyond a number; how many for their number."""
    given = {"before": keys.stamp(before_us), "number_max": number_max, "limit": _MARKS_BATCH}
    evicted, left = 0, list(models)
    while left:
        # To drop them once more does no harm: there is nothing that a ticket would keep from being done twice.
        found = await server.repeatable("evict_marks", [(keys.model(name), given) for name in left])
        evicted += sum(int(by_number) for _, by_number in found)
        left = [name for name, some in zip(left, found, strict=True) if sum(map(int, some)) == _MARKS_BATCH]
    return evicted


async def forget_senders(server: Server, models: Sequence[str], before_us: int | None, number_max: int) -> int:
    """Forget senders without a turn since a time, and the longest silent beyond a number; how many for their number."""
    given = {"before": before_us or 0, "number_max": number_max, "limit": _MARKS_BATCH}
    evicted, left = 0, list(models)
    while left:
        found = await server.repeatable("forget_senders", [(keys.model(name), given) for name in left])
        evicted += sum(int(by_number) for _, by_number in found)
        left = [name for name, some in zip(left, found, strict=True) if sum(map(int, some)) == _MARKS_BATCH]
    return evicted


async def drop_deliveries(server: Server, model: str, before_us: int) -> None:
    """Drop what was delivered or given up before a time."""
    given = {"before": keys.stamp(before_us), "limit": _BATCH}
    while await server.write("drop_deliveries", keys.model(model), given):
        pass


def _expiry(keeping: Keeping) -> tuple[str, Given]:
    given = _of(keeping)
    if keeping.expire_before_us is not None:
        given["oldest"] = keys.stamp(keeping.expire_before_us - keeping.base_window_us)
    if keeping.learned:
        given |= {"learned": True, "learning": LEARNING}
    return keys.model(keeping.model), given


def _oblivion(keeping: Keeping) -> tuple[str, Given]:
    before = keys.stamp(keeping.evaluations_before_us or 0)
    return keys.model(keeping.model), _of(keeping) | {"before": before}


def _of(keeping: Keeping) -> dict[str, object]:
    epoch = {} if keeping.epoch is None else {"epoch": str(keeping.epoch)}
    return {"version": keys.quoted(keeping.version), "limit": _BATCH, **epoch}
