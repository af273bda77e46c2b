"""What a version has collected since its reference was learned: the candidate for one that knows how much windows differ.

A learned reference is a heap of rows without time order. The base windows that it has counted since do have one: when there
are enough of them, and all was well in that time, a reference made of them can be calibrated.
"""

from dataclasses import dataclass
from typing import Final

from service.ports import Progress, Store
from service.registry.models import LiveModel, LiveVersion

__all__ = ["WINDOWS_MIN", "Collected", "collected"]

WINDOWS_MIN: Final = 60
"""With fewer the replay says too little for a calibration to be called verified."""

_EARLIEST_US: Final = -(1 << 62)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Closed base windows with rows enough.

    Parameters
    ----------
    windows : int
    span_us : (int, int) or None
        From the first of them to the end of the last.
    """

    windows: int
    span_us: tuple[int, int] | None

    @property
    def enough(self) -> bool:
        """Whether a reference should be made of them."""
        return self.windows >= WINDOWS_MIN


async def collected(store: Store, model: LiveModel, version: LiveVersion, progress: Progress | None) -> Collected:
    """Base windows that the active reference of a version has counted since it became active, as far as they are closed."""
    since = version.since[-1]
    until_us = None if progress is None else progress.evaluated_until_us
    if until_us is None:
        return Collected(windows=0, span_us=None)
    # A base window in which the reference changed was counted by two.
    first_us = _EARLIEST_US if since.from_us is None else model.grid.base_end(model.grid.base_start(since.from_us - 1))
    rows = await store.rows_by_window(version.series(since.reference.id), first_us, until_us)
    starts = [start_us for start_us, n in rows if n >= model.configuration.policy.rows_min]
    span_us = (starts[0], model.grid.base_end(starts[-1])) if starts else None
    return Collected(windows=len(starts), span_us=span_us)
