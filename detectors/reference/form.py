"""The versioned dictionary form of a reference, and its identity.

`to_form` makes plain Python values that JSON can carry; `from_form` reads them back bit for bit, and refuses what is
foreign, corrupt or of a later format. Arrays that nobody reads by eye are `{"type", "shape", "data"}`: little-endian,
zlib, base64, in the narrowest type that fits.

The identity is the SHA-256 of what decides counts: schema, points, categories, groups, integer counts and blocks. Names of
models, times of making, means and provenance are not in it: the same data gives the same id on any machine.
"""

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from detectors.arrays import Counts, frozen
from detectors.columns import CategoricalColumn, Column, NumericColumn
from detectors.errors import ReferenceFormatError
from detectors.reference.model import Blocks, Reference

__all__ = ["FORMAT", "from_form", "reference_id", "to_form"]

FORMAT = "driftline.reference/1"

_T = TypeVar("_T")
_NUMBER_TYPES = {"float64": np.float64, "int64": np.int64, "uint64": np.uint64}
_ARRAY_TYPES = {"uint8": "<u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8", "int64": "<i8"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ARRAY_BYTES_MAX = 4 << 30  # a year of hours of 5,000 columns; more is an attack or a mistake


def reference_id(reference: Reference) -> str:
    """Content hash of a reference: `sha256:` and 64 hexadecimal digits."""
    columns = [
        _column_form(reference, index, column) | {"means": None, "mean": None, "deviation": None, "exact": None}
        for index, column in enumerate(reference.columns)
    ]
    blocks: dict[str, object] | None = None
    if reference.blocks is not None:
        blocks = {
            "window": reference.window,
            "time_zone": reference.time_zone,
            "starts": hashlib.sha256(reference.blocks.starts_s.astype("<i8").tobytes()).hexdigest(),
            "rows": hashlib.sha256(reference.blocks.rows.astype("<i8").tobytes()).hexdigest(),
            "counts": hashlib.sha256(reference.blocks.counts.astype("<i8").tobytes()).hexdigest(),
        }
    for column in columns:
        if "others" in column:
            column["others"] = _content_digest(column["others"])
    canonical = json.dumps({"columns": columns, "blocks": blocks, "rows": reference.rows}, sort_keys=True)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def _content_digest(form: Any) -> str:
    """Digest of an array form's content: compressed bytes differ between builds of zlib."""
    return hashlib.sha256(_decoded(form, "others").astype("<u8").tobytes()).hexdigest()


def to_form(reference: Reference) -> dict[str, Any]:
    """Plain dictionary of a reference; see CONTRACTS "Reference file"."""
    blocks = None
    if reference.blocks is not None:
        blocks = {
            "starts": _encoded(reference.blocks.starts_s),
            "rows": _encoded(reference.blocks.rows),
            "counts": _encoded(reference.blocks.counts),
        }
    return {
        "format": FORMAT,
        "id": reference_id(reference),
        "model": reference.model,
        "version": reference.version,
        "created_at": reference.created_at,
        "rows": reference.rows,
        "window": reference.window,
        "time_zone": reference.time_zone,
        "time_column": reference.time_column,
        "sample_rows": reference.sample_rows,
        "holds": "bin edges, means and category names are values of the training data; no row is stored",
        "columns": [_column_form(reference, index, column) for index, column in enumerate(reference.columns)],
        "segments": [],
        "blocks": blocks,
        "provenance": dict(reference.provenance),
        "replay": None if reference.replay is None else dict(reference.replay),
    }


def from_form(form: object) -> Reference:
    """Read a reference back.

    Parameters
    ----------
    form : object
        What `to_form` made, perhaps after a journey through JSON.

    Returns
    -------
    Reference

    Raises
    ------
    ReferenceFormatError
        When it is not a reference, of another format version, inconsistent, or its content does not have its id.
    """
    top = _mapping(form, "document")
    tag = top.get("format")
    if not isinstance(tag, str) or not tag.startswith("driftline.reference/"):
        raise ReferenceFormatError(f"not a Driftline reference: wanted format '{FORMAT}'")
    if tag != FORMAT:
        raise ReferenceFormatError(f"format of a later release: this one reads '{FORMAT}'")
    entries = [_mapping(entry, f"columns[{i}]") for i, entry in enumerate(_get(top, "columns", list))]
    columns = [_guarded(_column_of, entry, f"columns[{i}]") for i, entry in enumerate(entries)]
    names = [column.name for column in columns]
    if not columns or len(set(names)) != len(names):
        raise ReferenceFormatError("columns: wanted at least one, each name once")
    counts, means, group_starts = [], [], []
    for i, (entry, column) in enumerate(zip(entries, columns, strict=True)):
        where = f"columns[{i}]"
        counts.append(_guarded(_counts_of, entry, where, column.value_bins + 2))
        means.append(_guarded(_means_of, entry, where, column.value_bins + 2))
        group_starts.append(_guarded(_groups_of, entry, where, column.value_bins))
    reference = Reference(
        model=_name(top, "model"),
        version=_name(top, "version"),
        created_at=_get(top, "created_at", str),
        rows=_get(top, "rows", int),
        window=_get(top, "window", str),
        time_zone=_get(top, "time_zone", str),
        time_column=None if top.get("time_column") is None else _get(top, "time_column", str),
        sample_rows=_get(top, "sample_rows", int),
        columns=tuple(columns),
        counts=Counts(frozen(np.concatenate(counts))),
        means=frozen(np.concatenate(means)),
        group_starts=tuple(group_starts),
        mean=frozen(np.array([_moment(entry, "mean") for entry in entries])),
        deviation=frozen(np.array([_moment(entry, "deviation") for entry in entries])),
        exact=frozen(np.array([_get(entry, "exact", bool) for entry in entries], dtype=np.bool_)),
        blocks=None if top.get("blocks") is None else _guarded(_blocks_of, _get(top, "blocks", dict), "blocks"),
        provenance=_get(top, "provenance", dict),
        replay=None if top.get("replay") is None else _get(top, "replay", dict),
    )
    if reference.time_column in names:
        raise ReferenceFormatError("time_column: wanted a column that is not monitored")
    if reference.blocks is not None and reference.blocks.counts.shape[1] != reference.segment_starts.size:
        raise ReferenceFormatError("blocks.counts: wanted one entry for each group, missing and invalid of each column")
    if reference_id(reference) != top.get("id"):
        raise ReferenceFormatError("corrupt: the content does not have the id that the file states")
    return reference


def _column_form(reference: Reference, index: int, column: Column) -> dict[str, Any]:
    start, end = reference.layout.offsets[index : index + 2].tolist()
    form: dict[str, Any] = {"name": column.name, "role": column.role, "kind": column.kind}
    if isinstance(column, NumericColumn):
        form |= {
            "points_type": column.points.dtype.name,
            "points": column.points.tolist(),
            "atoms": column.atoms.astype(int).tolist(),
            "mean": _null_if_nan(reference.mean[index]),
            "deviation": _null_if_nan(reference.deviation[index]),
            "means": [_null_if_nan(value) for value in reference.means[start:end]],
        }
    else:
        form |= {
            "categories": list(column.categories),
            "pools": list(column.pools),
            "others": _encoded(column.others),
            "others_complete": column.others_complete,
            "once": column.once,
            "twice": column.twice,
        }
    return form | {
        "counts": reference.counts[start:end].tolist(),
        "groups": reference.group_starts[index].tolist(),
        "exact": bool(reference.exact[index]),
    }


def _column_of(entry: Mapping[str, Any]) -> Column:
    name, role, kind = _get(entry, "name", str), _get(entry, "role", str), _get(entry, "kind", str)
    if role not in ("input", "output"):
        raise ValueError("role: wanted 'input' or 'output'")
    if kind == "numeric":
        points = np.array(_get(entry, "points", list), dtype=_NUMBER_TYPES[_get(entry, "points_type", str)])
        atoms = np.array(_get(entry, "atoms", list), dtype=np.bool_)
        ordered = bool((points[1:] > points[:-1]).all()) and bool(np.isfinite(points.astype(np.float64)).all())
        if points.ndim != 1 or points.shape != atoms.shape or not ordered or not atoms[:1].all():
            raise ValueError("points: wanted finite increasing numbers, and an atom flag for each")
        return NumericColumn(name=name, role=role, points=frozen(points), atoms=frozen(atoms))  # type: ignore[arg-type]
    if kind != "categorical":
        raise ValueError("kind: wanted 'numeric' or 'categorical'")
    categories = _get(entry, "categories", list)
    if not all(isinstance(category, str) for category in categories) or len(set(categories)) != len(categories):
        raise ValueError("categories: wanted text, each once")
    return CategoricalColumn(
        name=name,
        role=role,  # type: ignore[arg-type]
        categories=tuple(categories),
        pools=_pools_of(entry, len(categories)),
        others=frozen(_decoded(entry["others"], "others").astype(np.uint64)),
        others_complete=_get(entry, "others_complete", bool),
        once=_get(entry, "once", int),
        twice=_get(entry, "twice", int),
    )


def _pools_of(entry: Mapping[str, Any], n_categories: int) -> tuple[int, ...]:
    pools = _get(entry, "pools", list)
    if not pools or not all(type(size) is int and size >= 0 for size in pools) or sum(pools) > n_categories:
        raise ValueError("pools: wanted how many of the categories lie in each, at least one pool")
    return tuple(pools)


def _counts_of(entry: Mapping[str, Any], size: int) -> npt.NDArray[np.int64]:
    listed = _get(entry, "counts", list)
    if len(listed) != size or not all(type(count) is int and count >= 0 for count in listed):
        raise ValueError(f"counts: wanted {size} integers, none negative")
    return np.array(listed, dtype=np.int64)


def _means_of(entry: Mapping[str, Any], size: int) -> npt.NDArray[np.float64]:
    if entry["kind"] == "categorical":
        return np.full(size, np.nan)
    means = np.array([_number(mean) for mean in _get(entry, "means", list)], dtype=np.float64)
    if means.shape != (size,):
        raise ValueError(f"means: {means.size} entries, wanted {size}")
    return means


def _groups_of(entry: Mapping[str, Any], value_bins: int) -> npt.NDArray[np.intp]:
    starts = np.array(_get(entry, "groups", list), dtype=np.intp)
    if not starts.size or starts[0] != 0 or (np.diff(starts) <= 0).any() or starts[-1] >= value_bins:
        raise ValueError(f"groups: wanted increasing starts from 0 to below {value_bins}")
    return frozen(starts)


def _blocks_of(entry: Mapping[str, Any]) -> Blocks:
    starts, rows, counts = (_decoded(entry[key], key).astype(np.int64) for key in ("starts", "rows", "counts"))
    if starts.ndim != 1 or rows.shape != starts.shape or counts.shape[:1] != starts.shape or counts.ndim != 2:  # noqa: PLR2004
        raise ValueError("starts, rows and counts: wanted one entry for each block")
    if (np.diff(starts) <= 0).any():
        raise ValueError("starts: wanted increasing times")
    if (rows < 0).any() or (counts < 0).any():
        raise ValueError("rows, counts: wanted none negative")
    return Blocks(starts_s=frozen(starts), rows=frozen(rows), counts=frozen(counts))


def _encoded(array: npt.NDArray[Any]) -> dict[str, object]:
    narrow = "int64"
    if not array.size or array.min() >= 0:
        largest = int(array.max()) if array.size else 0
        narrow = next(name for name in ("uint8", "uint16", "uint32", "uint64") if largest <= np.iinfo(name).max)
    packed = zlib.compress(array.astype(_ARRAY_TYPES[narrow]).tobytes(), level=6)
    return {"type": narrow, "shape": list(array.shape), "data": base64.b64encode(packed).decode("ascii")}


def _decoded(form: Any, where: str) -> npt.NDArray[Any]:
    dtype = np.dtype(_ARRAY_TYPES[form["type"]])
    shape = tuple(int(size) for size in form["shape"])
    n_bytes = int(np.prod([*shape, dtype.itemsize], dtype=object))
    if not 0 <= n_bytes <= _ARRAY_BYTES_MAX or any(size < 0 for size in shape):
        raise ValueError(f"{where}: shape is not believable")
    inflater = zlib.decompressobj()
    data = inflater.decompress(base64.b64decode(form["data"], validate=True), n_bytes + 1)
    if len(data) != n_bytes:
        raise ValueError(f"{where}: {len(data)} bytes or more, wanted {n_bytes}")
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _guarded(read: Callable[..., _T], entry: Mapping[str, Any], where: str, *args: int) -> _T:
    """Every way in which a hostile document can fail to be read becomes one error that names the place."""
    try:
        return read(entry, *args)
    except ReferenceFormatError as error:
        raise ReferenceFormatError(f"{where}.{error}") from error
    except (KeyError, TypeError, OverflowError, binascii.Error, zlib.error) as error:
        raise ReferenceFormatError(f"{where}: incomplete or of a wrong type ({type(error).__name__})") from error
    except ValueError as error:
        raise ReferenceFormatError(f"{where}.{error}") from error


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ReferenceFormatError(f"{where}: wanted an object")
    return value


def _get(entry: Mapping[str, Any], key: str, kind: type[_T]) -> _T:
    value = entry.get(key)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ReferenceFormatError(f"{key}: missing, or not of type {kind.__name__}")
    return value


def _name(entry: Mapping[str, Any], key: str) -> str:
    name = _get(entry, key, str)
    if not _NAME.fullmatch(name):
        raise ReferenceFormatError(f"{key}: wanted up to 128 letters, digits, dots, dashes and underscores")
    return name


def _moment(entry: Mapping[str, Any], key: str) -> float:
    value = entry.get(key)
    if value is not None and (not isinstance(value, int | float) or (key == "deviation" and value < 0)):
        raise ReferenceFormatError(f"{key}: wanted a number or null")
    return _number(value)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _null_if_nan(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
