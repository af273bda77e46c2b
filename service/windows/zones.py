"""Wall clocks and instants, for whole arrays.

The offset of a time zone is constant except at a few instants a year. So it is looked up at both ends of every day
that occurs; where the two agree it holds for the day, else the same is done for quarters of an hour, and in a quarter
that still disagrees for each time by itself. Ambiguous times are the first of the two (fold 0); times in a gap have
the offset that was before it: both as `zoneinfo` gives them.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

__all__ = [
    "EPOCH",
    "MAX_US",
    "MIN_US",
    "UNREADABLE",
    "US_PER_DAY",
    "US_PER_HOUR",
    "US_PER_S",
    "UsArray",
    "local_of_utc",
    "utc_of_local",
    "utc_of_readable",
]

UsArray: TypeAlias = npt.NDArray[np.int64]
"""Microseconds since 1970-01-01T00:00:00, by UTC or by a wall clock; the name says which."""

EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - arithmetic is on microseconds, zones are applied here
US_PER_S: Final = 1_000_000
US_PER_HOUR: Final = 3_600 * US_PER_S
US_PER_DAY: Final = 24 * US_PER_HOUR
MIN_US: Final = (datetime.min - EPOCH) // timedelta(microseconds=1)  # noqa: DTZ901 - as above
MAX_US: Final = (datetime.max - EPOCH) // timedelta(microseconds=1)  # noqa: DTZ901 - as above
UNREADABLE: Final = int(np.iinfo(np.int64).min)
"""Stands for a time that could not be read; outside the range, like every other time that is none."""

_SPANS_US: Final = (US_PER_DAY, 900 * US_PER_S, 1)
_CLOSE: Final = 100_000  # days: 270 years
_LOOKUP_MIN_US: Final = MIN_US + 2 * US_PER_DAY  # datetime ends where year 1 and 9999 end in UTC
_LOOKUP_MAX_US: Final = MAX_US - 2 * US_PER_DAY


def utc_of_local(local_us: UsArray, time_zone: ZoneInfo) -> UsArray:
    """Instants of wall-clock times.

    Parameters
    ----------
    local_us : ndarray of int64, shape [n]
    time_zone : ZoneInfo

    Returns
    -------
    ndarray of int64, shape [n]
    """
    return local_us - _offsets(local_us, time_zone, _offset_at_local)


def local_of_utc(times_us: UsArray, time_zone: ZoneInfo) -> UsArray:
    """Wall-clock times of instants.

    Parameters
    ----------
    times_us : ndarray of int64, shape [n]
    time_zone : ZoneInfo

    Returns
    -------
    ndarray of int64, shape [n]
    """
    return times_us + _offsets(times_us, time_zone, _offset_at_utc)


def utc_of_readable(local_us: UsArray, time_zone: ZoneInfo) -> UsArray:
    """Instants of wall-clock times, `UNREADABLE` for what is outside the years 1 to 9999; shape [n]."""
    readable = (local_us >= MIN_US) & (local_us <= MAX_US)
    return np.where(readable, utc_of_local(np.where(readable, local_us, 0), time_zone), UNREADABLE)


def _offset_at_local(local_us: int, time_zone: ZoneInfo) -> timedelta | None:
    return (EPOCH + timedelta(microseconds=local_us)).replace(tzinfo=time_zone).utcoffset()


def _offset_at_utc(time_us: int, time_zone: ZoneInfo) -> timedelta | None:
    return (EPOCH + timedelta(microseconds=time_us)).replace(tzinfo=UTC).astimezone(time_zone).utcoffset()


def _offsets(
    times_us: UsArray,
    time_zone: ZoneInfo,
    offset_at: Callable[[int, ZoneInfo], timedelta | None],
) -> UsArray:
    offsets_us = np.zeros(times_us.shape, dtype=np.int64)
    if time_zone.key == "UTC":
        return offsets_us

    def looked_up(times: UsArray) -> UsArray:
        clipped = np.clip(times, _LOOKUP_MIN_US, _LOOKUP_MAX_US)
        found = [(offset_at(time, time_zone) or timedelta()) // timedelta(microseconds=1) for time in clipped.tolist()]
        return np.array(found, dtype=np.int64)

    pending = np.arange(times_us.size)
    for span_us in _SPANS_US:
        spans, inverse = _distinct(times_us[pending] // span_us)
        first, last = looked_up(spans * span_us), looked_up(spans * span_us + (span_us - 1))
        offsets_us[pending] = first[inverse]
        pending = pending[(first != last)[inverse]]
    return offsets_us


def _distinct(keys: UsArray) -> tuple[UsArray, npt.NDArray[np.intp]]:
    # As np.unique, but without its sorting where the keys lie close together, as days do: a tenth of the time.
    if not keys.size or int(keys.max()) - int(keys.min()) > keys.size + _CLOSE:
        return np.unique(keys, return_inverse=True)
    lowest = keys.min()
    occurs = np.zeros(int(keys.max() - lowest) + 1, dtype=np.bool_)
    occurs[keys - lowest] = True
    places = np.cumsum(occurs) - 1
    return np.flatnonzero(occurs) + lowest, places[keys - lowest]
