"""Replacing counts by their sum, in the background: payloads of a pane by one, the panes of a base window by one.

Counts are read, and added up here; then one script puts the sum in the place of exactly what was read. If any of that has
changed since, nothing happens, and the next sweep tries again: a fold can fail, but never lose or double a count. What says
that nothing has changed is the number that each fold leaves behind in its pane; payloads are only ever appended.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from service.errors import PayloadError
from service.ports import Keeping
from service.storage.redis import keys
from service.storage.redis.packing import Blob
from service.storage.redis.server import Server

__all__ = ["Errors", "Folding", "Merge"]

Errors = list[PayloadError]
Merge = Callable[[Sequence[bytes]], bytes]

_BATCH_PAYLOADS: Final = 500
_STAMP_CHARS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Folding:
    """One round: where, how payloads are added up, and the errors of those that cannot be."""

    server: Server
    merge: Merge
    errors: Errors

    async def fold(self, models: Sequence[str]) -> int:
        """Fold what is unfolded of models; how many deltas. What cannot be read is left as it is."""
        found = await self.server.reads("unfolded", [(keys.model(name), {}) for name in models])
        return sum([await self._fold(name, made, panes) for name, (made, panes) in zip(models, found, strict=True)])

    async def _fold(self, model: str, made: bytes, panes: Sequence[bytes]) -> int:
        folded = 0
        for pane in sorted(panes):
            while deltas := await self._replace(model, made, pane, [pane]):
                folded += deltas
                if deltas < _BATCH_PAYLOADS - 1:
                    break
        return folded

    async def coarsen(self, keepings: Sequence[Keeping]) -> int:
        """Fold the panes of old base windows into one each, which starts with its window; how many went into others."""
        calls = [
            (keeping, keys.stamp(keeping.coarsen_before_us - keeping.base_window_us))
            for keeping in keepings
            if keeping.coarsen_before_us is not None
        ]
        given = [
            (keys.model(keeping.model), {"version": keys.quoted(keeping.version), "oldest": oldest})
            for keeping, oldest in calls
        ]
        coarsened = 0
        for (keeping, _), (made, fine) in zip(calls, await self.server.reads("fine", given), strict=True):
            for whole, parts in _by_window(fine):
                if await self._replace(keeping.model, made, whole, [whole, *parts]) is not None:
                    coarsened += len(parts)
        return coarsened

    async def _replace(self, model: str, made: bytes, into: bytes, panes: Sequence[bytes]) -> int | None:
        """Deltas that a sum has taken the place of; None if it has not: they changed, or cannot be read."""
        wanted = {"panes": panes, "limit": _BATCH_PAYLOADS}
        parts = await self.server.read("parts", keys.model(model), wanted)
        payloads = [payload for _, _, some in parts for payload in some]
        deltas = len(payloads) - sum(summed for _, summed, _ in parts)
        if not deltas and len(panes) == 1:
            return 0
        try:
            total = await asyncio.to_thread(self.merge, payloads)
        except PayloadError as error:
            self.errors.append(error)
            return None
        given = {
            "made": made,
            "pane": into,
            "payload": Blob(total),
            "parts": [
                {"pane": pane, "fold": fold or b"", "payloads": len(some)}
                for pane, (fold, _, some) in zip(panes, parts, strict=True)
            ],
        }
        return deltas if await self.server.write("replace", keys.model(model), given) else None


def _by_window(panes: Sequence[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
    """The pane that starts with the window, and those that are to go into it."""

    def whole(pane: bytes) -> bytes:
        series, window = pane[: -2 * _STAMP_CHARS], pane[-_STAMP_CHARS:]
        return series + window + window

    for name, parts in groupby(sorted(panes, key=whole), key=whole):
        yield name, list(parts)
