"""Numbers to instants.

A number is seconds since 1970-01-01T00:00:00Z. Numbers too large for seconds are milli-, micro- or nanoseconds: as
seconds they would lie beyond year 5138, and as what they are taken for they lie after 1973. Each number is judged by
itself, so that the rows beside it do not change its meaning.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from service.windows.zones import MAX_US, UNREADABLE, US_PER_S, UsArray

__all__ = ["of_floats", "of_integers"]

_MS_FROM: Final = 10**11  # in seconds, year 5138; in milliseconds, 1973
_US_FROM: Final = 10**14
_NS_FROM: Final = 10**17


def of_integers(array: npt.NDArray[Any]) -> UsArray:
    """Instants of integers, without loss but for nanoseconds; shape as given."""
    wide = array.astype(np.uint64 if array.dtype.kind == "u" else np.int64, copy=False)

    def beyond(limit: int) -> npt.NDArray[np.bool_]:
        return np.asarray((wide > limit) | (wide < -limit))

    us = np.select(
        [beyond(_NS_FROM), beyond(_US_FROM), beyond(_MS_FROM)],
        [wide // 1_000, wide, wide * 1_000],
        wide * US_PER_S,
    )
    return us.astype(np.int64)


def of_floats(array: npt.NDArray[np.float64]) -> UsArray:
    """Instants of floats, rounded to the microsecond, `UNREADABLE` where there is none; shape as given."""
    with np.errstate(over="ignore", invalid="ignore"):
        size = np.abs(array)
        us = np.select(
            [size > _NS_FROM, size > _US_FROM, size > _MS_FROM],
            [array / 1e3, array, array * 1e3],
            array * 1e6,
        )
        inside = np.abs(us) <= MAX_US  # false for NaN
    return np.where(inside, np.rint(np.where(inside, us, 0)).astype(np.int64), UNREADABLE)
