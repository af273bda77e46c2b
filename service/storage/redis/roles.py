"""Replicas and the roles they have.

The role of a model is in the model's slot, so that a step is written and its fence looked at in one script, on whichever
server of a cluster that is. All roles of a replica are renewed in one or two pipelines. To take a role twice does no harm, so
these scripts have no tickets: of a thousand models they would be far more than what they guard.
"""

from collections.abc import Mapping, Sequence

from service.storage.redis import keys
from service.storage.redis.server import Server

__all__ = ["attend", "hold", "leave", "release"]


async def attend(server: Server, member: str, ttl_us: int) -> Sequence[str]:
    """Say that a replica is there; all that are."""
    (found,) = await server.repeatable("attend", [(keys.ALL, {"member": member, "ttl_us": ttl_us})])
    return sorted(name.decode() for name in found)


async def leave(server: Server, member: str) -> None:
    """Say that a replica is there no more."""
    await server.command("HDEL", f"{keys.ALL}members", member)


async def hold(server: Server, models: Sequence[str], owner: str, ttl_us: int) -> Mapping[str, int]:
    """Take or renew roles; the fences of those that are the owner's now."""
    given = {"owner": owner, "ttl_us": ttl_us}
    fences = await server.repeatable("hold", [(keys.model(name), given) for name in models])
    return {name: fence for name, fence in zip(models, fences, strict=True) if fence}


async def release(server: Server, models: Sequence[str], owner: str) -> None:
    """Give roles back."""
    await server.repeatable("release", [(keys.model(name), {"owner": owner}) for name in models])
