"""Which models there are, and which have deliveries: what no single model can tell.

A name is put into an index before anything of it is written, so that an index may hold too much after a crash, never too
little. Readers look at what is there; housekeeping strikes out names of nothing, once they have been there for a while.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from service.storage.redis import keys
from service.storage.redis.server import Server

__all__ = ["Index", "enlist", "names", "strike"]

Index = Literal["models", "outbox"]

_YOUNG_S: Final = 3600  # far beyond the time between enlisting and writing
_SIGNS: Final = {"models": ("row", "references"), "outbox": ("delivery_order",)}
"""Keys of which a model has one if it belongs into the index."""


async def enlist(server: Server, index: Index, some: Iterable[str]) -> None:
    """Put names into an index."""
    if wanted := sorted(set(some)):
        await server.write("enlist", keys.ALL, {"index": index, "names": wanted})


async def names(server: Server, index: Index) -> Sequence[str]:
    """Names that are in an index, sorted; of some there may be nothing."""
    return sorted(name.decode() for name in await server.command("ZRANGE", f"{keys.ALL}{index}", 0, -1))


async def strike(server: Server, index: Index) -> None:
    """Take out the names of nothing."""
    seconds, _ = await server.time()
    old = await server.command("ZRANGEBYSCORE", f"{keys.ALL}{index}", "-inf", seconds - _YOUNG_S, "WITHSCORES")
    gone = []
    for name, since in zip(old[::2], old[1::2], strict=True):
        signs = [keys.model(name.decode()) + sign for sign in _SIGNS[index]]
        if not await server.command("EXISTS", *signs):
            gone.append({"name": name, "since": since})
    if gone:
        await server.write("strike", keys.ALL, {"index": index, "names": gone})
