"""What became due: base windows with rows, and the stretches of silence between them. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from service.windows.grid import Grid

__all__ = ["Closed", "Silent", "Step", "steps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A base window with rows whose end the watermark has passed."""

    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A stretch of whole base windows without a row."""

    start_us: int
    end_us: int


Step: TypeAlias = Closed | Silent


def steps(grid: Grid, rows_of_window: Mapping[int, int], from_us: int | None, until_us: int) -> Iterator[Step]:
    """Base windows that became due, in order.

    Parameters
    ----------
    grid : Grid
    rows_of_window : mapping of int to int
        Rows of each base window that has any, by its start.
    from_us : int or None
        End of the last one that was dealt with; None to begin with the first that has rows.
    until_us : int
        Start of the base window that is open.
    """
    at = from_us
    for start in sorted(rows_of_window):
        if (at is not None and start < at) or start >= until_us:
            continue
        if at is not None and at < start:
            yield Silent(start_us=at, end_us=start)
        at = grid.base_end(start)
        yield Closed(start_us=start, end_us=at)
    if at is not None and at < until_us:
        yield Silent(start_us=at, end_us=until_us)
