"""Dropping what is kept no longer, some at a time, so that nobody waits for long."""

from typing import Final

from service.ports import LEARNING, Keeping
from service.storage.redis import keys
from service.storage.redis.server import Server

__all__ = ["drop_deliveries", "evict_marks", "expire"]

_BATCH: Final = 200
_MARKS_BATCH: Final = 1_000


async def expire(server: Server, keeping: Keeping) -> int:
    """Drop what is older than is kept of a version; how many panes."""
    model, version = keys.model(keeping.model), keys.quoted(keeping.version)
    epoch = {} if keeping.epoch is None else {"epoch": str(keeping.epoch)}
    given: dict[str, object] = {"version": version, "limit": _BATCH}
    if keeping.expire_before_us is not None:
        given["oldest"] = keys.stamp(keeping.expire_before_us - keeping.base_window_us)
    if keeping.learned:
        given |= {"learned": True, "learning": LEARNING}
    expired, more = 0, len(given) > 2  # noqa: PLR2004 - there is something to drop
    while more:
        some, more = await server.write("expire", model, given | epoch)
        expired += some
    if keeping.evaluations_before_us is not None:
        given = {"version": version, "before": keys.stamp(keeping.evaluations_before_us), "limit": _BATCH}
        while await server.write("forget", model, given | epoch):
            pass
    return expired


async def evict_marks(server: Server, model: str, before_us: int, number_max: int) -> int:
    """Drop marks that were made before a time, and the oldest beyond a number; how many for their number."""
    given = {"before": keys.stamp(before_us), "number_max": number_max, "limit": _MARKS_BATCH}
    evicted = 0
    while True:
        by_time, by_number = map(int, await server.write("evict_marks", keys.model(model), given))
        evicted += by_number
        if by_time + by_number < _MARKS_BATCH:
            return evicted


async def drop_deliveries(server: Server, model: str, before_us: int) -> None:
    """Drop what was delivered or given up before a time."""
    given = {"before": keys.stamp(before_us), "limit": _BATCH}
    while await server.write("drop_deliveries", keys.model(model), given):
        pass
