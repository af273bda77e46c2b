"""What the columns of a training set are, where the user does not say.

Every guess is returned with its reason, for people to read and override. The first 20,000 rows decide.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.binning import ColumnValues, DictionaryValues, TextValues, Values, as_numbers
from detectors.binning.categories import tally
from detectors.binning.values import is_null, size_of
from detectors.columns import Kind
from service.domain import Batch
from service.domain.declarations import AnyRole, ColumnDeclaration
from service.errors import DeclarationError, InputError
from service.references.declare import Declarations

__all__ = ["COLUMNS_MAX", "HEAD_CELLS", "HEAD_ROWS", "Finding", "Overrides", "infer"]

HEAD_ROWS = 20_000

HEAD_CELLS = 2_000_000
"""And of wide data, fewer: text takes 60 bytes a cell while it is looked at."""

COLUMNS_MAX = 10_000

_NUMBERS_SHARE = 0.95  # so many numbers among the present values make a column numeric; the rest is invalid
_UNIQUE_SHARE = 0.90  # so many distinct texts make it an identifier
_GROWING_SHARE = 0.99  # so many distinct integers, never falling, too
_COMMA_NUMBER = re.compile(r"\s*[+-]?[0-9][0-9.,\s]*,[0-9][0-9.,]*\s*")
_BOOLEANS = frozenset({"true", "false"})
_NAME_BYTES_MAX = 256
_IDENTIFIER_ROWS_MIN = 50  # below, everything is nearly unique


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a column is, and how that is known.

    Parameters
    ----------
    name : str
    role : str
    kind : {"numeric", "categorical"} or None
        None for columns that are not monitored.
    declared : bool
        False when the role or the kind is a guess.
    note : str
        The reason of a guess, or a warning; may be empty.
    """

    name: str
    role: AnyRole
    kind: Kind | None
    declared: bool
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says of the columns; it goes before the file."""

    time_column: str | None = None
    outputs: Collection[str] = ()
    ignore: Collection[str] = ()


def infer(head: Sequence[Batch], declarations: Declarations, overrides: Overrides) -> list[Finding]:
    """Decide on the role and the kind of every column.

    Parameters
    ----------
    head : sequence of Batch
        The first rows.
    declarations : Declarations
    overrides : Overrides

    Returns
    -------
    list of Finding
        In the order in which the columns appear.

    Raises
    ------
    DeclarationError
        A name that the data does not have, or nothing left to monitor.
    """
    names = list(dict.fromkeys(name for batch in head for name in batch.columns))
    if len(names) > COLUMNS_MAX:
        raise InputError(f"{len(names):,} columns in the first rows, wanted at most {COLUMNS_MAX:,}; are keys values?")
    declared = _declared(declarations, overrides, names)
    findings = []
    for name in names:
        parts = [batch.columns[name] for batch in head if name in batch.columns]
        findings.append(_finding(name, parts, declared.get(name, ColumnDeclaration())))
    if not any(batch.rows for batch in head):
        raise InputError("the data has no row")
    if not any(finding.kind for finding in findings):
        notes = "; ".join(f"{finding.name}: {finding.role}, {finding.note}" for finding in findings[:10])
        raise DeclarationError(f"no column left to monitor ({notes or 'the data has none'})")
    return findings


def _declared(
    declarations: Declarations, overrides: Overrides, names: Sequence[str]
) -> Mapping[str, ColumnDeclaration]:
    declared = dict(declarations.columns)
    for role, chosen in (("ignore", overrides.ignore), ("output", overrides.outputs)):
        for name in chosen:
            declared[name] = declared.get(name, ColumnDeclaration()).model_copy(update={"role": role})
    time_column = overrides.time_column or declarations.time_column
    if overrides.time_column is not None:
        for name, column in declared.items():
            if column.role == "time" and name != time_column:
                declared[name] = column.model_copy(update={"role": "ignore"})
    if time_column is not None:
        declared[time_column] = ColumnDeclaration(role="time")
        if "timestamp" in names and "timestamp" not in declared:
            declared["timestamp"] = ColumnDeclaration(role="ignore")
    unknown = [name for name, column in declared.items() if name not in names and column.role != "ignore"]
    unknown += [name for name in overrides.ignore if name not in names]
    if unknown:
        raise DeclarationError(
            f"declared, but not in the first {HEAD_ROWS:,} rows of the data: {', '.join(map(repr, unknown[:10]))}"
        )
    return declared


def _finding(name: str, parts: Sequence[Values], declared: ColumnDeclaration) -> Finding:
    if declared.role not in (None, "input", "output"):
        return Finding(name=name, role=declared.role, kind=None, declared=True, note="")
    if declared.role is None and declared.kind is None and name == "timestamp":
        return Finding(name=name, role="time", kind=None, declared=False, note="called timestamp")
    fault = _faulty_name(name)
    if fault:
        return Finding(name=name[:40], role="ignore", kind=None, declared=False, note=fault)
    role: AnyRole = declared.role or "input"
    if declared.kind is not None:
        return Finding(name=name, role=role, kind=declared.kind, declared=True, note=_doubt(parts, declared.kind))
    kind, note = _guess(parts)
    if kind is None and declared.role is None:
        return Finding(name=name, role="ignore", kind=None, declared=False, note=note)
    # A declared role is obeyed also where a guess would have left the column out.
    kind = kind or ("numeric" if _facts(parts).numbers > 0 else "categorical")
    return Finding(name=name, role=role, kind=kind, declared=False, note=note)


def _faulty_name(name: str) -> str:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "the name is not Unicode text"
    return f"a name of {size:,} bytes, wanted at most {_NAME_BYTES_MAX}" if size > _NAME_BYTES_MAX else ""


@dataclass(frozen=True, slots=True)
class _Facts:
    rows: int
    present: int
    numbers: int
    booleans: int
    text: int
    times: int
    other: int


def _guess(parts: Sequence[Values]) -> tuple[Kind | None, str]:
    facts = _facts(parts)
    if not facts.present:
        return None, f"no value in the first {facts.rows:,} rows"
    if facts.times >= _NUMBERS_SHARE * facts.present:
        return None, "times or durations; declare the role time if windows should follow it"
    if facts.other > facts.present / 2:
        return None, "lists or objects"
    if facts.booleans == facts.present:
        return "categorical", "booleans"
    numbers = facts.numbers + facts.booleans
    if numbers >= _NUMBERS_SHARE * facts.present:
        growing = _steadily_growing(parts)
        if growing:
            return None, "looks like an identifier: integers that only grow"
        rest = facts.present - numbers
        return (
            "numeric",
            "numbers" if not rest else f"numbers, {rest / facts.present:.1%} other values count as invalid",
        )
    distinct = _distinct(parts)
    if facts.present >= _IDENTIFIER_ROWS_MIN and distinct > _UNIQUE_SHARE * facts.present:
        hint = "; or numbers with decimal commas? 1234.5 is read, 1.234,5 is not" if _decimal_commas(parts) else ""
        return None, f"looks like an identifier: {distinct / facts.present:.0%} of the values are distinct{hint}"
    mixed = f", mixed with {numbers / facts.present:.0%} numbers" if numbers else ""
    return "categorical", f"text, {distinct:,} distinct{mixed}"


def _doubt(parts: Sequence[Values], kind: Kind) -> str:
    facts = _facts(parts)
    if kind == "numeric" and facts.present and facts.numbers + facts.booleans < facts.present:
        share = 1 - (facts.numbers + facts.booleans) / facts.present
        return f"warning: {share:.1%} of the values are not numbers and count as invalid"
    return "" if facts.present else f"warning: no value in the first {facts.rows:,} rows"


def _facts(parts: Sequence[Values]) -> _Facts:
    total = np.sum([_part_facts(part) for part in parts], axis=0) if parts else np.zeros(7)
    return _Facts(*(int(number) for number in total))


def _part_facts(values: Values) -> tuple[int, ...]:
    rows = size_of(values)
    absent = 0 if values.absent is None else int(np.count_nonzero(values.absent))
    if isinstance(values, ColumnValues) and values.values.dtype.kind == "O":
        counted = [_type_of(value) for value in values.values.tolist()]
        by_type = [counted.count(kind) for kind in ("number", "boolean", "text", "time", "other")]
        return rows - absent, sum(by_type), *by_type
    if isinstance(values, ColumnValues) and values.values.dtype.kind in "mM":
        present = int(np.count_nonzero(~np.isnat(values.values)))
        return rows, present, 0, 0, 0, present, 0
    if isinstance(values, DictionaryValues):
        return _dictionary_facts(values)
    if isinstance(values, TextValues):
        return _text_facts(values)
    present = int(np.count_nonzero(as_numbers(values).present))
    if isinstance(values, ColumnValues) and values.values.dtype.kind == "b":
        return rows, present, 0, present, 0, 0, 0
    if isinstance(values, ColumnValues) and values.values.dtype.kind not in "fiu":
        return rows, rows, 0, 0, rows, 0, 0
    return rows, present, present, 0, 0, 0, 0


def _text_facts(values: TextValues) -> tuple[int, ...]:
    counts = Counter(values.cells)
    rows = counts.total()
    del counts[""]
    cells, often = list(counts), np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
    read = as_numbers(TextValues(cells=cells))
    numbers, invalid, booleans = int(often[read.present].sum()), 0, 0
    if read.invalid is not None:
        invalid = int(often[read.invalid].sum())
        booleans = sum(counts[cell] for cell in compress(cells, read.invalid.tolist()) if cell.lower() in _BOOLEANS)
    text = invalid - booleans
    if text > numbers:  # tokens such as NA are null among numbers, and text among text
        text += int(often.sum()) - invalid - numbers
    return rows, numbers + text + booleans, numbers, booleans, text, 0, 0


def _dictionary_facts(values: DictionaryValues) -> tuple[int, ...]:
    counts = np.bincount(values.codes[values.codes >= 0], minlength=len(values.dictionary)).tolist()
    by_type = dict.fromkeys(("number", "boolean", "text", "time", "other"), 0)
    for entry, count in zip(values.dictionary, counts, strict=True):
        kind = _type_of(entry)
        if kind is not None:
            by_type[kind] += count
    return len(values.codes), sum(by_type.values()), *by_type.values()


def _type_of(value: object) -> str | None:
    if is_null(value):
        return None
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, int | float | np.number) or type(value).__name__ == "Decimal":
        return "number"
    if isinstance(value, str | bytes):
        return "text"
    return "time" if type(value).__name__ in {"datetime", "date", "time", "timedelta", "datetime64"} else "other"


def _distinct(parts: Sequence[Values]) -> int:
    found: set[str] = set()
    for part in parts:
        found.update(tally(part))
    return len(found)


def _decimal_commas(parts: Sequence[Values]) -> bool:
    cells = [cell for part in parts if isinstance(part, TextValues) for cell in part.cells[:1000] if cell]
    return bool(cells) and sum(_COMMA_NUMBER.fullmatch(cell) is not None for cell in cells) > len(cells) / 2


def _steadily_growing(parts: Sequence[Values]) -> bool:
    read: list[npt.NDArray[Any]] = []
    for part in parts:
        numbers = as_numbers(part)
        read.append(numbers.values[numbers.present])
    values = np.concatenate(read)
    if values.size < _IDENTIFIER_ROWS_MIN or (values != np.trunc(values)).any() or (values[1:] < values[:-1]).any():
        return False
    return bool(np.unique(values).size >= _GROWING_SHARE * values.size)
