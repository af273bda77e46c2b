"""Versions without a reference: their first rows become one.

What has come so far lies in the store as sketches, which add up like counts do; so it does not matter which replica saw
which rows, nor whether a process died in between.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from detectors.errors import EmptyReferenceError, SketchFormatError
from detectors.learning import Learned, Sketch, learned_reference, merged
from service.domain.durations import parse_duration_s
from service.ports import LEARNING_PANE_US, Store
from service.references.jobs import ReferenceJobs
from service.registry.models import LiveModel, LiveVersion
from service.storage.codec import unwrap_sketch
from service.windows.times import format_instant
from service.windows.zones import US_PER_HOUR, US_PER_S

__all__ = ["Learning", "learned_rows"]

_ROWS_MIN: Final = 100
_FIRST_US, _LAST_US = -(1 << 62), (1 << 63) - 1


async def learned_rows(store: Store, version: LiveVersion) -> int:
    """Rows that a version has learned from so far."""
    return sum(rows for _, rows in await store.rows_by_window(version.series(), _FIRST_US, _LAST_US))


class Learning:
    """Makes references of what versions have learned.

    Parameters
    ----------
    store : Store
    jobs : ReferenceJobs
    """

    def __init__(self, store: Store, jobs: ReferenceJobs) -> None:
        self._store = store
        self._jobs = jobs
        self._refused: dict[tuple[str, str], int] = {}

    async def advance(self, model: LiveModel, version: LiveVersion) -> int:
        """Make a reference if enough rows have come; the rows so far."""
        hours = await self._store.rows_by_window(version.series(), _FIRST_US, _LAST_US)
        rows = sum(n for _, n in hours)
        key = model.model, version.version
        if self._refused.get(key, 0) * 2 > rows or not await self._enough(model, version, hours):
            return rows
        panes = await self._store.panes(version.series(), _FIRST_US, _LAST_US)
        payloads = [payload for pane in panes for payload in pane.payloads]
        now = format_instant(await self._store.now_us() // US_PER_S * US_PER_S)
        try:
            learned = await asyncio.to_thread(_learned, model, version, payloads, now)
        except (EmptyReferenceError, SketchFormatError) as error:
            # Tried again when there are twice as many rows.
            self._refused[key] = rows
            structlog.get_logger().warning(
                "no reference could be learned", model=model.model, version=version.version, reason=str(error)
            )
            return rows
        row = await self._jobs.keep(model.model, learned.reference)
        # A reference that was uploaded meanwhile stays.
        await self._jobs.activate(model.model, version.version, row.id, None, first_only=True)
        return rows

    async def _enough(self, model: LiveModel, version: LiveVersion, hours: Sequence[tuple[int, int]]) -> bool:
        learning = model.configuration.learning
        rows = sum(n for _, n in hours)
        if rows >= learning.rows:
            return True
        if learning.span is None or rows < _ROWS_MIN:
            return False
        span_us = parse_duration_s(learning.span) * US_PER_S
        # To the hour, which is how sketches are kept: rather an hour more than less.
        since_us = (min(start for start, _ in hours) - LEARNING_PANE_US + 1) * US_PER_HOUR
        return any(
            progress.version == version.version and progress.newest_us - since_us >= span_us
            for progress in await self._store.progress(model.model)
        )


def _learned(model: LiveModel, version: LiveVersion, payloads: Sequence[bytes], created_at: str) -> Learned:
    sketch = merged([Sketch.from_bytes(unwrap_sketch(payload)) for payload in payloads])
    columns = model.configuration.columns
    return learned_reference(
        sketch,
        model=model.model,
        version=version.version,
        created_at=created_at,
        window=model.configuration.base_window,
        time_zone=model.configuration.time_zone,
        kinds={name: column.kind for name, column in columns.items() if column.kind is not None},
        provenance={"learned": {"rows": sketch.rows}},
    )
