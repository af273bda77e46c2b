"""Text to instants.

Read are the forms of ISO 8601 and RFC 3339 in which logs are written: `2012-03-05`, `2012-03-05T06:00`, a space for
the `T`, seconds, a fraction (beyond microseconds cut off), then nothing, `Z`, `UTC` or an offset; and numbers, as
seconds since the epoch. Other forms that the standard library would take, such as week dates or `20120305`, are not:
the last is a number.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from service.windows.epochs import of_floats, of_integers
from service.windows.zones import EPOCH, UNREADABLE, US_PER_S, UsArray, utc_of_readable

__all__ = ["of_cell", "of_cells"]

_ISO: Final = re.compile(
    r"(?P<head>[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?)?)"
    r"(?: ?(?P<zone>[Zz]|UTC|[+-][0-9]{2}(?::?[0-9]{2})?))?"
)
_NUMBER_CHARACTERS: Final = frozenset("0123456789+-.eE ")
_DATE_LENGTH, _SECONDS_LENGTH = len("2012-03-05"), len("2012-03-05T06:07:08")


def of_cells(cells: Sequence[str], time_zone: ZoneInfo) -> UsArray:
    """Instants of cells, `UNREADABLE` where there is none; shape [n_cells].

    Notes
    -----
    A column is nearly always written in one form, and then is read in one go, at a quarter of the cost of cell by cell.
    """
    if not cells:
        return np.zeros(0, dtype=np.int64)
    times_us = _of_one_shape(cells, time_zone)
    if times_us is None:
        times_us = _of_numbers(cells)
    if times_us is None:
        times_us = np.array([of_cell(cell, time_zone) for cell in cells], dtype=np.int64)
    return times_us


def of_cell(cell: str, time_zone: ZoneInfo) -> int:
    """Instant of one cell, or `UNREADABLE`."""
    text = cell.strip()
    match = _ISO.fullmatch(text)
    if match is None:
        return _of_number(text)
    try:
        # Of lower-case or comma the standard library takes one, and which changes between its releases.
        local = datetime.fromisoformat(match["head"].upper().replace(",", "."))
    except ValueError:
        return UNREADABLE
    local_us = (local - EPOCH) // timedelta(microseconds=1)
    if match["zone"] is None:
        return int(utc_of_readable(np.array([local_us]), time_zone)[0])
    offset_us = _offset_us(match["zone"])
    return UNREADABLE if offset_us is None else local_us - offset_us


def _of_number(text: str) -> int:
    if not text or not _NUMBER_CHARACTERS.issuperset(text):
        return UNREADABLE
    try:
        return int(of_integers(np.array([int(text)], dtype=np.int64))[0])
    except (ValueError, OverflowError):
        pass
    try:
        return int(of_floats(np.array([float(text)]))[0])
    except ValueError:
        return UNREADABLE


def _offset_us(zone: str) -> int | None:
    if zone in {"Z", "z", "UTC"}:
        return 0
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours >= 24 or minutes >= 60:  # noqa: PLR2004 - a clock
        return None
    return (-1 if zone[0] == "-" else 1) * (hours * 60 + minutes) * 60 * US_PER_S


def _of_one_shape(cells: Sequence[str], time_zone: ZoneInfo) -> UsArray | None:
    # Digits where the first cell has digits, and otherwise the same characters: then numpy may be trusted with it,
    # which by itself would also take "now", "NaT", and zones it ignores.
    match = _ISO.fullmatch(cells[0])
    if match is None or set(map(len, cells)) != {len(cells[0])}:
        return None
    length, head = len(cells[0]), match.end("head")
    offset_us = None if match["zone"] is None else _offset_us(match["zone"])
    if match["zone"] is not None and offset_us is None:
        return None
    characters = np.array(cells, dtype=f"U{length}").view(np.uint32).reshape(len(cells), length)
    numeric = np.array([place < head and character.isdigit() for place, character in enumerate(cells[0])])
    # Unsigned, so that what is below "0" is large.
    digits = (characters[:, numeric] - np.uint32(ord("0")) <= 9).all()  # noqa: PLR2004
    if not digits or (characters[:, ~numeric] != characters[0, ~numeric]).any():
        return None
    characters[:, _DATE_LENGTH : _DATE_LENGTH + (head > _DATE_LENGTH)] = ord("T")
    characters[:, _SECONDS_LENGTH : _SECONDS_LENGTH + (head > _SECONDS_LENGTH)] = ord(".")
    heads = np.ascontiguousarray(characters[:, :head]).view(f"U{head}").reshape(len(cells))
    try:
        local_us = heads.astype("datetime64[us]").view(np.int64)
    except ValueError:  # a 30th of February somewhere
        return None
    return utc_of_readable(local_us, time_zone) if offset_us is None else local_us - offset_us


def _of_numbers(cells: Sequence[str]) -> UsArray | None:
    text = "".join(cells)
    if not _NUMBER_CHARACTERS.issuperset(text):
        return None
    try:
        # Floats only where each cell has a point: a whole number among them is read as an integer, without loss.
        if text.count(".") == len(cells):
            return of_floats(np.fromiter(map(float, cells), dtype=np.float64, count=len(cells)))
        return of_integers(np.fromiter(map(int, cells), dtype=np.int64, count=len(cells)))
    except (ValueError, OverflowError):
        return None
