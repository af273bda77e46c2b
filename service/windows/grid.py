"""Where panes and base windows of a model lie.

A pane lies in one base window; a base window is a whole number of panes. Panes are aligned to the epoch; base windows to UTC
hours, or to local midnights where they are whole days (see `service.windows.times`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from service.windows.times import window_end, window_starts
from service.windows.zones import US_PER_DAY, US_PER_S, UsArray, local_of_utc

__all__ = ["Grid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Panes and base windows of one model.

    Parameters
    ----------
    pane_s, base_s : int
    time_zone : ZoneInfo
    """

    pane_s: int
    base_s: int
    time_zone: ZoneInfo

    def pane_starts(self, times_us: UsArray) -> UsArray:
        """Start of the pane of each time."""
        return times_us - times_us % (self.pane_s * US_PER_S)

    def base_starts(self, times_us: UsArray) -> UsArray:
        """Start of the base window of each time."""
        return window_starts(times_us, self.base_s, self.time_zone)

    def base_start(self, time_us: int) -> int:
        """Start of the base window of one time."""
        return int(self.base_starts(np.array([time_us], dtype=np.int64))[0])

    def base_end(self, start_us: int) -> int:
        """End of the base window that starts there."""
        return window_end(start_us, self.base_s, self.time_zone)

    def closed_until(self, watermark_us: int) -> int:
        """End of the last base window that a watermark has passed: the start of the one that is open."""
        return self.base_start(watermark_us)

    def back(self, end_us: int, windows: int) -> int:
        """Start of the span of so many base windows that ends where one of them does; ahead of it if negative."""
        if self.base_s * US_PER_S < US_PER_DAY:
            return end_us - windows * self.base_s * US_PER_S
        # By the calendar it would be wrong where clocks go forward across midnight, and where a day was left out.
        for _ in range(abs(windows)):
            end_us = self.base_start(end_us - 1) if windows > 0 else self.base_end(end_us)
        return end_us

    def number(self, end_us: int) -> int:
        """Number of the base window that ends there, counted without gaps."""
        if self.base_s * US_PER_S < US_PER_DAY:
            return end_us // (self.base_s * US_PER_S)
        local = local_of_utc(np.array([end_us], dtype=np.int64), self.time_zone)
        return int(local[0]) // (self.base_s * US_PER_S)

    def ends(self, first_us: int, last_us: int) -> Iterator[int]:
        """Ends of the base windows from the one that starts at `first_us` to the one that ends at `last_us`."""
        end = first_us
        while end < last_us:
            end = self.base_end(end)
            yield end
