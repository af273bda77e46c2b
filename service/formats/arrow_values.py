"""Arrow arrays to values.

=============================  ==========================================================================
floats                         as they are, without a copy; null is NaN
integers, booleans             as they are, with a mask of the nulls: integers never become floats
decimals                       the nearest float64
text, dictionaries of text     codes and a dictionary
other dictionaries             decoded, then as their values
timestamps, dates              datetime64[us]; null, and what lies beyond 292,000 years from 1970, is NaT
durations                      timedelta64 of their own unit
null                           NaN
binary, lists, structs, ...    Python objects
=============================  ==========================================================================
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.binning import ColumnValues, DictionaryValues, Values

__all__ = ["is_zoned", "values_of"]

_US_PER = {"D": 86_400_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_NS_PER_US = 1_000


def is_zoned(arrow_type: Any) -> bool:
    """Whether values of an Arrow type are instants: timestamps with a time zone."""
    import pyarrow as pa  # noqa: PLC0415 - see the reader

    if pa.types.is_dictionary(arrow_type):
        return is_zoned(arrow_type.value_type)
    return bool(pa.types.is_timestamp(arrow_type) and arrow_type.tz is not None)


def values_of(array: Any) -> Values:
    """Convert an Arrow array.

    Parameters
    ----------
    array : pyarrow.Array, length n_rows
        Validated: dictionary codes in range, text UTF-8.

    Returns
    -------
    Values
    """
    import pyarrow as pa  # noqa: PLC0415 - see the reader

    if isinstance(array.type, pa.BaseExtensionType):
        return values_of(array.storage)
    if pa.types.is_run_end_encoded(array.type):
        import pyarrow.compute as pc  # noqa: PLC0415 - as above

        return values_of(pc.run_end_decode(array))
    if pa.types.is_dictionary(array.type):
        return _coded(array) if _is_text(array.type.value_type) else values_of(array.dictionary_decode())
    if _is_text(array.type):
        return _coded(array.dictionary_encode())
    return ColumnValues(values=_numpy(array), missing=_nulls(array) if _has_no_null(array.type) else None)


def _is_text(arrow_type: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - see the reader

    types = pa.types
    return bool(types.is_string(arrow_type) or types.is_large_string(arrow_type) or types.is_string_view(arrow_type))


def _has_no_null(arrow_type: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - see the reader

    return bool(pa.types.is_integer(arrow_type) or pa.types.is_boolean(arrow_type))


def _nulls(array: Any) -> npt.NDArray[np.bool_] | None:
    return array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None


def _coded(array: Any) -> DictionaryValues:
    import pyarrow as pa  # noqa: PLC0415 - see the reader

    codes = array.indices.cast(pa.int64()).fill_null(-1).to_numpy()
    dictionary = array.dictionary.to_pylist()
    nulls = [code for code, entry in enumerate(dictionary) if entry is None]
    if nulls:
        codes = np.where(np.isin(codes, nulls), -1, codes)
    return DictionaryValues(codes=codes, dictionary=dictionary)


def _numpy(array: Any) -> npt.NDArray[Any]:
    import pyarrow as pa  # noqa: PLC0415 - see the reader

    types = pa.types
    if _has_no_null(array.type):
        # Under a null anything may stand; zeros keep results the same on every machine.
        return np.asarray(array.fill_null(0 if types.is_integer(array.type) else False).to_numpy(zero_copy_only=False))
    if types.is_null(array.type):
        return np.full(len(array), np.nan)
    if types.is_decimal(array.type):
        return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False))
    if types.is_floating(array.type) or types.is_duration(array.type):
        return np.asarray(array.to_numpy(zero_copy_only=False))
    if types.is_timestamp(array.type) or types.is_date(array.type):
        return _microseconds(array.to_numpy(zero_copy_only=False))
    return _objects(array)


def _microseconds(times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    unit = np.datetime_data(times.dtype)[0]
    ticks = times.view(np.int64)
    if unit == "ns":
        us = ticks // _NS_PER_US
    else:
        limit = np.iinfo(np.int64).max // _US_PER[unit]
        us = np.where(np.abs(ticks) <= limit, ticks, 0) * _US_PER[unit]
        us[np.abs(ticks) > limit] = np.iinfo(np.int64).min
    us[np.isnat(times)] = np.iinfo(np.int64).min  # NaT
    return us.view("datetime64[us]")


def _objects(array: Any) -> npt.NDArray[np.object_]:
    try:
        objects = array.to_pylist()
    except (ValueError, OverflowError, NotImplementedError):
        # Times of nanoseconds and beyond year 9999 are no Python objects. Nothing of these kinds is ever read as a
        # number or a category, so a stand-in that is neither does as well.
        objects = [() if valid else None for valid in array.is_valid().to_pylist()]
    return np.fromiter(objects, dtype=np.object_, count=len(objects))
