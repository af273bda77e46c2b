"""A span of stored traffic becomes a reference."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import groupby

from detectors.arrays import Counts
from detectors.errors import EmptyReferenceError
from detectors.reference import Reference
from detectors.reference.promotion import promoted_reference
from service.errors import DeclarationError
from service.ports import Pane, Store
from service.registry.models import LiveModel, LiveVersion
from service.storage.codec import summed
from service.windows.times import format_instant
from service.windows.zones import US_PER_S

__all__ = ["base_windows", "promote"]


async def promote(
    store: Store, model: LiveModel, version: LiveVersion, *, since_us: int, until_us: int, as_version: str
) -> Reference:
    """Make a reference of the counts of a span of base windows.

    Raises
    ------
    DeclarationError
        The span is empty, or was counted with more than one reference, or holds no row.
    """
    if since_us >= until_us:
        raise DeclarationError("since is not before until")
    if version.learning:
        raise DeclarationError("the version has no reference yet: its rows are still being learned from")
    first_us = model.grid.base_start(since_us)
    last_us = model.grid.base_start(until_us - 1)
    until_us = model.grid.base_end(last_us)
    if any(since.from_us is not None and first_us < since.from_us < until_us for since in version.since):
        raise DeclarationError("the reference changed within the span; promote a part of it")
    old = version.at(first_us).reference
    panes = await store.panes(version.series(old.id), first_us, until_us)
    if not panes:
        raise DeclarationError("no row is kept of that span")
    now_us = await store.now_us()
    source = {
        "reference_id": old.id,
        "since": format_instant(first_us),
        "until": format_instant(until_us),
    }
    try:
        return await asyncio.to_thread(
            promoted_reference,
            old.reference,
            _Windows(panes, old.reference),
            version=as_version,
            created_at=format_instant(now_us // US_PER_S * US_PER_S),
            provenance={"promoted": source},
        )
    except EmptyReferenceError as error:
        raise DeclarationError(str(error)) from error


def base_windows(reference: Reference, rows_min: int) -> int:
    """How many base windows of a reference have so many rows."""
    return 0 if reference.blocks is None else int((reference.blocks.rows >= rows_min).sum())


class _Windows:
    """Counts of each base window, as often as they are asked for: a month of them need not be held at once."""

    def __init__(self, panes: Sequence[Pane], reference: Reference) -> None:
        self._panes = panes
        self._total = reference.layout.n_bins_total

    def __iter__(self) -> Iterator[tuple[int, int, Counts]]:
        for start_us, some in groupby(self._panes, key=lambda pane: pane.window_start_us):
            together = list(some)
            payloads = [payload for pane in together for payload in pane.payloads]
            yield start_us // US_PER_S, sum(pane.rows for pane in together), summed(payloads, self._total)
