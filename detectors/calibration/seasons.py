"""Seasons: which base windows are alike when nothing is wrong.

A base window is compared with the reference's windows of the same stratum (its hour of day, say). Which strata are used is
decided by the reference itself: those whose means predict its windows best out of sample. Without strata the test stays
valid, for a season then is part of what windows naturally differ by, but it is blind: a shift at night looks like noon.
"""

from typing import Final, Literal, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

__all__ = ["REPEATS_MIN", "SEASONS", "STRATA", "Season", "candidates", "repeats", "strata"]

Season: TypeAlias = Literal["none", "day_type", "day_of_week", "hour_of_day", "hour_of_day_type", "hour_of_week"]
"""A day's type is workday or weekend."""

SEASONS: Final[tuple[Season, ...]] = (
    "none",
    "day_type",
    "day_of_week",
    "hour_of_day",
    "hour_of_day_type",
    "hour_of_week",
)

STRATA: Final[dict[Season, int]] = {
    "none": 1,
    "day_type": 2,
    "day_of_week": 7,
    "hour_of_day": 24,
    "hour_of_day_type": 48,
    "hour_of_week": 168,
}
"""How many strata a season has."""

REPEATS_MIN: Final = 4
"""A stratum that came fewer times has no mean to speak of."""

_DAY_S: Final = 86_400
_HOUR_S: Final = 3600
_WEEKEND: Final = (5, 6)
_OF_HOURS: Final[tuple[Season, ...]] = ("none", "hour_of_day", "hour_of_day_type", "hour_of_week")
_OF_DAYS: Final[tuple[Season, ...]] = ("none", "day_type", "day_of_week")


def candidates(base_s: int) -> tuple[Season, ...]:
    """Seasons that make sense for base windows of so many seconds."""
    if base_s < _DAY_S:
        return _OF_HOURS
    return _OF_DAYS if base_s == _DAY_S else ("none",)


def strata(season: Season, hours: npt.NDArray[np.int64], weekend: tuple[int, ...] = _WEEKEND) -> npt.NDArray[np.int64]:
    """Stratum of each base window.

    Parameters
    ----------
    season : str
    hours : ndarray of int64
        Hour of the week at which each begins, in the model's time zone; Monday 00:00 is 0.
    weekend : tuple of int
        Days of the weekend; Monday is 0.

    Returns
    -------
    ndarray of int64
        From 0 up to and without that season's `STRATA`.
    """
    day, hour = np.divmod(hours, 24)
    off = np.isin(day, weekend).astype(np.int64)
    match season:
        case "none":
            return np.zeros_like(hours)
        case "day_type":
            return off
        case "day_of_week":
            return day
        case "hour_of_day":
            return hour
        case "hour_of_day_type":
            return hour + 24 * off
        case "hour_of_week":
            return hours
        case _:
            assert_never(season)


def repeats(season: Season, of_window: npt.NDArray[np.int64], base_s: int) -> float:
    """How often a stratum comes: the harmonic mean over strata; windows of the same hour, or day, count as one.

    Parameters
    ----------
    season : str
    of_window : ndarray of int64, shape [n_windows]
        Strata of base windows.
    base_s : int

    Returns
    -------
    float
        0 if one of them comes fewer than `REPEATS_MIN` times.
    """
    within = max(1, (_DAY_S if season in _OF_DAYS else _HOUR_S) // base_s)
    times = np.unique(of_window, return_counts=True)[1] / within
    return float(times.size / (1 / times).sum()) if times.min(initial=np.inf) >= REPEATS_MIN else 0.0
