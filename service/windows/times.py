"""Durations and instants as people write them, and the windows that times fall in.

Windows shorter than a day divide the day and are aligned to UTC: a window is the same hours everywhere. Windows of
whole days run from local midnight to local midnight, counted from Monday 1970-01-05, so that weeks start on Mondays;
a week in which the clocks change has 167 or 169 hours. Every instant falls in exactly one window: start <= instant <
end.
"""

from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from service.domain.durations import format_duration, parse_duration_s
from service.errors import DeclarationError
from service.windows.event_times import Readable, event_times
from service.windows.written_times import of_cell
from service.windows.zones import EPOCH, MAX_US, MIN_US, US_PER_DAY, US_PER_S, UsArray, local_of_utc, utc_of_local

__all__ = [
    "Readable",
    "UsArray",
    "event_times",
    "format_duration",
    "format_instant",
    "parse_duration_s",
    "parse_instant",
    "window_end",
    "window_starts",
]

_DAY_S: Final = 86_400
_MONDAY_US: Final = 4 * US_PER_DAY  # 1970-01-05 by the wall clock


def parse_instant(text: str, time_zone: ZoneInfo) -> int:
    """Microseconds since the epoch, UTC, of one time that a person wrote.

    Parameters
    ----------
    text : str
        RFC 3339, with or without a zone; a date; or seconds since the epoch.
    time_zone : ZoneInfo
        Of times without a zone.

    Raises
    ------
    DeclarationError
        It is none of these, or outside the years 1 to 9999.
    """
    # A bare year or day is a number too, and as seconds would silently mean 1970.
    looks_like_date = text.strip().isdecimal() and len(text.strip()) in {len("2012"), len("201203"), len("20120305")}
    time_us = of_cell(text, time_zone)
    if looks_like_date or not MIN_US <= time_us <= MAX_US:
        raise DeclarationError(
            f"{text!r} is not a time; wanted such as 2012-03-05T06:00:00Z, 2012-03-05 or epoch seconds"
        )
    return time_us


def format_instant(time_us: int) -> str:
    """RFC 3339 in UTC with `Z`; a fraction only where there is one."""
    return (EPOCH + timedelta(microseconds=time_us)).isoformat() + "Z"


def window_starts(times_us: UsArray, size_s: int, time_zone: ZoneInfo) -> UsArray:
    """Start of the window that each time falls in.

    Parameters
    ----------
    times_us : ndarray of int64, shape [n]
        Microseconds since the epoch, UTC.
    size_s : int
        A divisor of a day, or whole days.
    time_zone : ZoneInfo
        Whose midnights bound windows of whole days.

    Returns
    -------
    ndarray of int64, shape [n]
        Microseconds since the epoch, UTC.

    Raises
    ------
    DeclarationError
        Another size.
    """
    size_us = _checked_size_us(size_s)
    if size_s < _DAY_S:
        return times_us - times_us % size_us
    local_starts_us = _local_starts(times_us, size_us, time_zone)
    next_starts_us = utc_of_local(local_starts_us + size_us, time_zone)
    # Where clocks go back across midnight, the wall clock shows the old day again after the new one has begun.
    return np.where(times_us < next_starts_us, utc_of_local(local_starts_us, time_zone), next_starts_us)


def window_end(start_us: int, size_s: int, time_zone: ZoneInfo) -> int:
    """End of the window that starts at `start_us`, which is the start of the next one.

    Raises
    ------
    DeclarationError
        A size that is neither a divisor of a day nor whole days.
    """
    size_us = _checked_size_us(size_s)
    if size_s < _DAY_S:
        return start_us + size_us
    local_starts_us = _local_starts(np.array([start_us], dtype=np.int64), size_us, time_zone)
    return int(utc_of_local(local_starts_us + size_us, time_zone)[0])


def _checked_size_us(size_s: int) -> int:
    if size_s <= 0 or (_DAY_S % size_s and size_s % _DAY_S):
        raise DeclarationError(f"a window of {size_s} s: wanted a size that divides a day, or whole days")
    return size_s * US_PER_S


def _local_starts(times_us: UsArray, size_us: int, time_zone: ZoneInfo) -> UsArray:
    local_us = local_of_utc(times_us, time_zone)
    return local_us - (local_us - _MONDAY_US) % size_us
