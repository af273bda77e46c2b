"""Event times of rows: a column of whatever type to instants.

Read are datetime64 arrays, numbers (see `epochs`), text (see `written_times`), and Python dates and datetimes. What
has no zone is the time of a wall clock in the model's time zone. Everything else, and every time outside the years 1
to 9999, is unreadable.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from detectors.binning import ColumnValues, DictionaryValues, TextValues, Values
from detectors.binning.values import Numbers
from service.windows.epochs import of_floats, of_integers
from service.windows.written_times import of_cell, of_cells
from service.windows.zones import EPOCH, MAX_US, MIN_US, UNREADABLE, UsArray, utc_of_readable

__all__ = ["Readable", "event_times"]

Readable: TypeAlias = npt.NDArray[np.bool_]
"""Rows whose time could be read."""

_FINE_UNITS = frozenset({"ns", "ps", "fs", "as"})  # they end long before year 1 and year 9999


def event_times(values: Values, zoned: bool, time_zone: ZoneInfo) -> tuple[UsArray, Readable]:  # noqa: FBT001 - a fact of the column, always passed beside it
    """Read the event times of rows.

    Parameters
    ----------
    values : Values, n_rows
    zoned : bool
        Whether datetime64 values are instants in UTC; else they are wall-clock times.
    time_zone : ZoneInfo
        Of times without a zone.

    Returns
    -------
    times_us : ndarray of int64, shape [n_rows]
        Microseconds since the epoch, UTC; 0 where unreadable.
    readable : ndarray of bool, shape [n_rows]
    """
    match values:
        case ColumnValues() | Numbers():
            missing = False if values.missing is None else values.missing
            times_us = np.where(missing, UNREADABLE, _from_array(values.values, time_zone, zoned=zoned))
        case TextValues():
            times_us = of_cells(values.cells, time_zone)
        case DictionaryValues():  # pragma: no branch - nothing else is left
            entries_us = np.append(_from_objects(list(values.dictionary), time_zone), UNREADABLE)
            times_us = entries_us[np.where(values.codes < 0, -1, values.codes)]
    readable = (times_us >= MIN_US) & (times_us <= MAX_US)
    if values.absent is not None:
        readable &= ~values.absent
    return np.where(readable, times_us, 0), readable


def _from_array(array: npt.NDArray[Any], time_zone: ZoneInfo, *, zoned: bool) -> UsArray:
    match array.dtype.kind:
        case "M":
            times_us = _from_datetimes(array)
            return times_us if zoned else utc_of_readable(times_us, time_zone)
        case "i" | "u":
            return of_integers(array)
        case "f":
            return of_floats(array.astype(np.float64, copy=False))
        case "O" | "U":
            return _from_objects(array.tolist(), time_zone)
        case _:
            return np.full(array.shape, UNREADABLE)


def _from_datetimes(array: npt.NDArray[Any]) -> UsArray:
    unit = np.datetime_data(array.dtype)[0]
    outside = np.isnat(array)
    if unit == "generic":  # holds nothing but NaT
        return np.full(array.shape, UNREADABLE)
    if unit not in _FINE_UNITS:  # numpy would overflow without a word
        earliest, latest = np.array([MIN_US, MAX_US]).view("datetime64[us]").astype(array.dtype)
        outside |= (array < earliest) | (array > latest)
    return np.where(outside, UNREADABLE, array.astype("datetime64[us]").view(np.int64))


def _from_objects(objects: list[Any], time_zone: ZoneInfo) -> UsArray:
    types = set(map(type, objects))
    if types == {str}:
        return of_cells(objects, time_zone)
    if types == {float}:
        return of_floats(np.array(objects, dtype=np.float64))
    return np.array([_from_object(value, time_zone) for value in objects], dtype=np.int64)


def _from_object(value: object, time_zone: ZoneInfo) -> int:
    match value:
        case bool() | np.bool_():
            return UNREADABLE
        case str():
            return of_cell(value, time_zone)
        case int() | np.integer():
            number = int(value)
            return int(of_integers(np.array([number]))[0]) if abs(number) <= np.iinfo(np.int64).max else UNREADABLE
        case float() | np.floating():
            return int(of_floats(np.array([float(value)]))[0])
        case Decimal():
            return UNREADABLE if value.is_nan() else int(of_floats(np.array([float(value)]))[0])
        case datetime():
            return _from_datetime(value, time_zone)
        case date():
            return _from_datetime(datetime(value.year, value.month, value.day), time_zone)  # noqa: DTZ001 - local
        case np.datetime64():
            return int(utc_of_readable(_from_datetimes(np.array([value])), time_zone)[0])
        case _:
            return UNREADABLE


def _from_datetime(value: datetime, time_zone: ZoneInfo) -> int:
    if value != value:  # noqa: PLR0124 - the NaT of pandas is a datetime
        return UNREADABLE
    local_us = (value.replace(tzinfo=None) - EPOCH) // timedelta(microseconds=1)
    offset = value.utcoffset()
    if offset is None:
        return int(utc_of_readable(np.array([local_us]), time_zone)[0])
    return local_us - offset // timedelta(microseconds=1)
