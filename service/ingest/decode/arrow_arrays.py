"""Arrow arrays of strangers to values, in memory that is bounded by what they take themselves.

Several types of Arrow can say much in few bytes: views of text that overlap, dictionaries with one long entry, runs, lists
that share their elements. So text stays coded, and what no column can be made of (lists, structs, maps, unions, runs of
anything but numbers) is never looked into: its cells are invalid, or missing where null.
"""

from itertools import repeat
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.binning import ColumnValues, DictionaryValues, Values
from service.errors import DecodeError
from service.formats.arrow_values import values_of
from service.ingest.decode.pyarrow_loading import pyarrow

__all__ = ["is_text", "opaque", "untrusted_values"]

_TEXT_BYTES_MAX: Final = 1 << 26  # of a part of 65,536 rows
_VIEW_BYTES: Final = 16  # length, then text or where it is


def untrusted_values(array: Any) -> Values:
    """Check an array and convert it.

    Parameters
    ----------
    array : pyarrow.Array, length n_rows

    Returns
    -------
    Values

    Raises
    ------
    DecodeError
        413: its text is too long.
    Exception
        What pyarrow says of an array that is broken.
    """
    pa = pyarrow()
    while isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    array.validate()
    if _is_closed(array.type):
        return opaque(len(array), array.is_null().to_numpy(zero_copy_only=False))
    if _is_view(array.type):
        _check_views(array)
    array.validate(full=True)  # codes in range, text UTF-8: 1 ns a cell
    if pa.types.is_dictionary(array.type):
        array = _compact(array)
        if not is_text(array.type.value_type):
            return values_of(array.dictionary_decode())
        codes = array.indices.cast(pa.int64()).fill_null(-1).to_numpy()
        return _without_null_entries(codes, array.dictionary.to_pylist())
    return values_of(array)


def opaque(rows: int, missing: npt.NDArray[np.bool_] | None = None) -> ColumnValues:
    """Values that are neither numbers nor categories nor times."""
    return ColumnValues(values=np.fromiter(repeat((), rows), dtype=np.object_, count=rows), missing=missing)


def is_text(arrow_type: Any) -> bool:
    """Whether values are text or bytes of any length."""
    types = pyarrow().types
    kinds = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return any(kind(arrow_type) for kind in kinds) or _is_view(arrow_type)


def _is_view(arrow_type: Any) -> bool:
    types = pyarrow().types
    return bool(types.is_string_view(arrow_type) or types.is_binary_view(arrow_type))


def _is_closed(arrow_type: Any) -> bool:
    types = pyarrow().types
    if types.is_run_end_encoded(arrow_type):
        return not types.is_primitive(arrow_type.value_type)
    if types.is_dictionary(arrow_type):
        entries = arrow_type.value_type
        return not (types.is_primitive(entries) or types.is_decimal(entries) or is_text(entries))
    return bool(types.is_nested(arrow_type))


def _check_views(array: Any) -> None:
    lengths = np.frombuffer(array.buffers()[1], dtype=np.int32)[:: _VIEW_BYTES // 4]
    text_bytes = int(lengths[array.offset : array.offset + len(array)].astype(np.int64).sum())
    if text_bytes > _TEXT_BYTES_MAX:
        raise DecodeError(413, f"a column with {text_bytes:,} bytes of text in {len(array):,} rows")


def _compact(array: Any) -> Any:
    # Only the entries that are used, lest a large dictionary be gone through again for every few rows.
    pa = pyarrow()
    if len(array.dictionary) <= len(array):
        return array
    import pyarrow.compute as pc  # noqa: PLC0415 - as pyarrow itself

    used = pc.unique(array.indices.drop_null())
    codes = pc.index_in(array.indices, used, skip_nulls=True)
    return pa.DictionaryArray.from_arrays(codes, array.dictionary.take(used))


def _without_null_entries(codes: npt.NDArray[np.int64], dictionary: list[Any]) -> DictionaryValues:
    nulls = [code for code, entry in enumerate(dictionary) if entry is None]
    if nulls:
        codes = np.where(np.isin(codes, nulls), -1, codes)
    return DictionaryValues(codes=codes, dictionary=dictionary)
