"""The models that this replica evaluates: by leases in the store, spread over the replicas that are there.

Each replica says every few seconds that it is there, and who else is decides which models it should have. It takes those that
are free, renews those that it has, all in one call, and gives back those that are now another's. A replica that is stopped
properly gives all of them back; one that dies holds them until its leases run out.

A process that was paused, for however long, does no harm when it goes on. Each role has a fence, a number that grows whenever
the role is taken anew, and what is recorded in a role is refused by the store if its fence is not the last. A step that was
begun before the pause carries the fence of then. What is exported is bounded by a clock of the process itself: a lease counts
from before it was asked for, so that nothing is shown for longer than the store keeps others away.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from service.errors import StoreUnavailableError
from service.ports import Store
from service.scheduler.spreading import keeper_of
from service.windows.zones import US_PER_S

__all__ = ["LEASE_S", "Roles"]

LEASE_S: Final = 15.0
"""For so long nobody evaluates the models of a replica that has died; three renewals may fail before."""

_RENEW_S: Final = 5.0
_HOUSEKEEPING: Final = ""  # no model has this name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    fence: int
    until_s: float


class Roles:
    """What this replica has to do.

    Parameters
    ----------
    store : Store
    owner : str
        Name of this process among those that share the store.
    monotonic_s : callable
    """

    def __init__(self, store: Store, owner: str, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._owner = owner
        self._monotonic_s = monotonic_s
        self._members: tuple[str, ...] = ()
        self._keepers: dict[str, str] = {}
        self._held: dict[str, _Held] = {}
        self._renew_at_s = 0.0
        self._renewing = asyncio.Lock()
        self._left = False

    @property
    def fences(self) -> Mapping[str, int]:
        """Models that are evaluated here, each with its fence, as far as is known by now."""
        now_s = self._monotonic_s()
        return {model: held.fence for model, held in self._held.items() if now_s < held.until_s}

    def holds(self, model: str, fence: int) -> bool:
        """Whether a role is still held by a fence."""
        held = self._held.get(model)
        return held is not None and held.fence == fence and self._monotonic_s() < held.until_s

    @property
    def keeps_house(self) -> bool:
        """Whether housekeeping is this replica's; that two do it, for a moment, changes nothing."""
        return bool(self._members) and keeper_of(_HOUSEKEEPING, self._members) == self._owner

    async def keep(self, models: Collection[str]) -> None:
        """Renew what is held if it is time to, take what should be held, and give back what is another's."""
        async with self._renewing:
            if self._left:
                return
            if self._monotonic_s() >= self._renew_at_s:
                await self._renew(models)
            elif wanted := [model for model in self._mine(models) if model not in self._held]:
                await self._take(wanted)

    async def leave(self) -> None:
        """Give everything back; what the store is not told of runs out."""
        async with self._renewing:
            self._left = True
            held, self._held = list(self._held), {}
            with suppress(StoreUnavailableError):
                await self._store.release(held, self._owner)
                await self._store.leave(self._owner)

    async def _renew(self, models: Collection[str]) -> None:
        started_s = self._monotonic_s()
        members = tuple(await self._store.attend(self._owner, int(LEASE_S * US_PER_S)))
        if members != self._members:
            self._members = members
            self._keepers.clear()
        mine = self._mine(models)
        surplus = self._held.keys() - set(mine)
        self._held = {model: held for model, held in self._held.items() if model not in surplus}
        await self._take(mine)
        if surplus:
            await self._store.release(sorted(surplus), self._owner)
        self._renew_at_s = started_s + _RENEW_S

    async def _take(self, models: Collection[str]) -> None:
        until_s = self._monotonic_s() + LEASE_S
        fences = await self._store.hold(sorted(models), self._owner, int(LEASE_S * US_PER_S)) if models else {}
        self._held = {model: held for model, held in self._held.items() if model not in models}
        self._held |= {model: _Held(fence=fence, until_s=until_s) for model, fence in fences.items()}

    def _mine(self, models: Collection[str]) -> list[str]:
        for gone in self._keepers.keys() - set(models):
            del self._keepers[gone]
        for model in models:
            if model not in self._keepers:
                self._keepers[model] = keeper_of(model, self._members)
        return [model for model in models if self._keepers[model] == self._owner]
