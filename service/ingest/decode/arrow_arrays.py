"""Arrow arrays of strangers to values, in memory that is bounded by what they take themselves.

Several types of Arrow can say much in few bytes: views of text that overlap, dictionaries with one long entry, runs, lists
that share their elements. So text stays coded, and what no column can be made of (lists, structs, maps, unions, runs of
anything but numbers) is never looked into: its cells are invalid, or missing where null.
"""

from collections.abc import Callable
from itertools import repeat
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from detectors.binning import ColumnValues, DictionaryValues, Values
from service.errors import DecodeError
from service.formats.arrow_values import values_of
from service.ingest.decode.pyarrow_loading import pyarrow

__all__ = ["Converter", "converter_of", "is_text", "opaque"]

_TEXT_BYTES_MAX: Final = 1 << 26  # of a part of 65,536 rows
_VIEW_BYTES: Final = 16  # length, then text or where it is


Converter: TypeAlias = Callable[[Any], Values]
"""Checks an array of one type and converts it.

It raises `DecodeError` (413) for text that is too long, and what pyarrow says of an array that is broken.
"""


def converter_of(arrow_type: Any) -> Converter:
    """Find how arrays of a type are converted; looking at types takes longer than converting a few rows."""
    pa = pyarrow()
    if isinstance(arrow_type, pa.BaseExtensionType):
        storage = converter_of(arrow_type.storage_type)
        return lambda array: storage(array.storage)
    if pa.types.is_floating(arrow_type):
        return _floats
    if _is_closed(arrow_type):
        return _closed
    if _is_view(arrow_type):
        return _views
    if pa.types.is_dictionary(arrow_type):
        return _coded if is_text(arrow_type.value_type) else _decoded
    return _whole


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


def _floats(array: Any) -> Values:
    array.validate()
    return ColumnValues(values=array.to_numpy(zero_copy_only=False))


def _closed(array: Any) -> Values:
    array.validate()
    return opaque(len(array), array.is_null().to_numpy(zero_copy_only=False))


def _whole(array: Any) -> Values:
    array.validate(full=True)  # text in UTF-8: 1 ns a cell
    return values_of(array)


def _views(array: Any) -> Values:
    array.validate()
    lengths = np.frombuffer(array.buffers()[1], dtype=np.int32)[:: _VIEW_BYTES // 4]
    text_bytes = int(lengths[array.offset : array.offset + len(array)].astype(np.int64).sum())
    if text_bytes > _TEXT_BYTES_MAX:
        raise DecodeError(413, f"a column with {text_bytes:,} bytes of text in {len(array):,} rows")
    return _whole(array)


def _decoded(array: Any) -> Values:
    array.validate(full=True)
    return values_of(_compact(array).dictionary_decode())


def _coded(array: Any) -> Values:
    array.validate(full=True)  # codes in range, text in UTF-8
    array = _compact(array)
    codes = array.indices.cast(pyarrow().int64()).fill_null(-1).to_numpy()
    dictionary = array.dictionary.to_pylist()
    nulls = [code for code, entry in enumerate(dictionary) if entry is None]
    if nulls:
        codes = np.where(np.isin(codes, nulls), -1, codes)
    return DictionaryValues(codes=codes, dictionary=dictionary)


def _compact(array: Any) -> Any:
    # Only the entries that are used, lest a large dictionary be gone through again for every few rows.
    pa = pyarrow()
    if len(array.dictionary) <= len(array):
        return array
    import pyarrow.compute as pc  # noqa: PLC0415 - as pyarrow itself

    used = pc.unique(array.indices.drop_null())
    codes = pc.index_in(array.indices, used, skip_nulls=True)
    return pa.DictionaryArray.from_arrays(codes, array.dictionary.take(used))
