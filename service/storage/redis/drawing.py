"""Numbers that are drawn from one counter for all models, before they are written where a model is.

One that was drawn for a change that was refused is lost. The counters may be on another server of a cluster than the model, and
what a failover or an older backup takes from them is more than it takes from a model, or less: see `draw_epoch.lua`.
"""

from service.storage.redis import keys
from service.storage.redis.server import Server

__all__ = ["epoch", "numbers"]


async def epoch(server: Server, known: int | None) -> int:
    """An epoch that no model has had, and above the one that is known."""
    return int(await server.write("draw_epoch", keys.ALL, {"known": known or 0}))


async def numbers(server: Server, wanted: int) -> int:
    """The first of so many numbers, which say where episodes and deliveries stand among others of the same time."""
    return int(await server.write("draw_numbers", keys.ALL, {"wanted": wanted})) if wanted else 0
