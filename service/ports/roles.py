"""Replicas, and the roles they have."""

from collections.abc import Mapping, Sequence
from typing import Protocol

__all__ = ["RolesStore"]


class RolesStore(Protocol):
    """Who is there, and who decides over which model."""

    async def attend(self, member: str, ttl_us: int) -> Sequence[str]:
        """Say that a replica is there until now + ttl; all that are, sorted."""
        ...

    async def leave(self, member: str) -> None:
        """Say that a replica is there no more."""
        ...

    async def hold(self, models: Sequence[str], owner: str, ttl_us: int) -> Mapping[str, int]:
        """Take or renew the roles of models until now + ttl; by model, the fences of those that are the owner's now.

        A role is one owner's until it has run out or is given back; a model that is not there has none. Its fence stays
        while it is held without a gap. Whoever takes it anew gets a larger one, so that a record of before is refused,
        however late it comes, and also one of a fence that the store has lost: like an epoch, it is the time, or one more
        than the last.
        """
        ...

    async def release(self, models: Sequence[str], owner: str) -> None:
        """Give roles back; those of another owner are left alone."""
        ...
