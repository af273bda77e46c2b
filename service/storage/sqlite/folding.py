"""Replacing counts by their sum, in the background: deltas by a pane, the panes of a base window by one.

Counts are read and added up outside the write lock. Then a short transaction drops exactly what was read and puts the sum in
its place; if any of it has gone, or the pane has been folded by another process since, nothing happens and the next sweep
tries again. So a fold can fail, but never lose or double a delta. Batches are bounded, so that a commit waits for a few
milliseconds at most.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from service.errors import PayloadError
from service.ports import Keeping
from service.storage.sqlite.lane import Lanes

__all__ = ["Errors", "Merge", "coarsen", "fold"]

Errors = list[PayloadError]
Merge = Callable[[Sequence[bytes]], bytes]

_BATCH_ROWS: Final = 500  # deltas of one row each are dropped in 2 ms
_BATCH_BYTES: Final = 4 << 20

_KEYS: Final = """
    SELECT series_id, pane_start_us, window_start_us, max(id) FROM deltas
    GROUP BY series_id, pane_start_us, window_start_us"""
_DELTAS: Final = """
    SELECT id, rows, late, payload FROM deltas
    WHERE series_id = ? AND pane_start_us = ? AND window_start_us = ? AND id <= ?"""
_PANE: Final = """
    SELECT id, rows, late, payload FROM panes WHERE series_id = ? AND pane_start_us = ? AND window_start_us = ?"""
_PANE_ID: Final = "SELECT id FROM panes WHERE series_id = ? AND pane_start_us = ? AND window_start_us = ?"
_WINDOWS: Final = """
    SELECT DISTINCT series_id, window_start_us FROM series
    JOIN models ON models.id = series.model_id JOIN panes ON panes.series_id = series.id
    WHERE models.model = ? AND version = ? AND window_start_us <= ? AND pane_start_us <> window_start_us"""
_FINE_PANES: Final = """
    SELECT id, rows, late, payload FROM panes
    WHERE series_id = ?1 AND pane_start_us > ?2 AND window_start_us = ?2"""
_ADD_PANE: Final = (
    "INSERT INTO panes (series_id, pane_start_us, window_start_us, rows, late, payload) VALUES (?, ?, ?, ?, ?, ?)"
)
_DROP_PANES: Final = "DELETE FROM panes WHERE id = ?"
_DROP_DELTAS: Final = "DELETE FROM deltas WHERE id = ?"

_Key = tuple[int, int, int]  # series, start of the pane, start of its window
_Row = tuple[int, int, int, bytes]  # id, rows, late, payload


class _ChangedError(Exception):
    """What was read is not what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sum:
    """What is to take the place of a pane, if it is there, and of some parts."""

    key: _Key
    pane_id: int | None
    part_ids: Sequence[int]
    rows: int
    late: int
    payload: bytes


async def fold(lanes: Lanes, merge: Merge, errors: Errors) -> int:
    """Fold the deltas that are there now; how many. A pane that cannot be read is left as it is, and its error kept."""
    folded = 0
    for series_id, start_us, window_us, last_id in await lanes.keeper.read(_rows_of(_KEYS)):
        key = (series_id, start_us, window_us)
        batch = partial(_batch, key=key, statement=_DELTAS, arguments=(*key, last_id), merge=merge)
        folded += await _replace_all(lanes, batch, _DROP_DELTAS, errors)
    return folded


async def coarsen(lanes: Lanes, merge: Merge, keeping: Keeping, errors: Errors) -> int:
    """Fold the panes of old base windows into one each, which starts with its window; how many went into others."""
    if keeping.coarsen_before_us is None:
        return 0
    coarsened = 0
    oldest = (keeping.model, keeping.version, keeping.coarsen_before_us - keeping.base_window_us)
    for series_id, window_us in await lanes.keeper.read(_rows_of(_WINDOWS, oldest)):
        key = (series_id, window_us, window_us)
        batch = partial(_batch, key=key, statement=_FINE_PANES, arguments=(series_id, window_us), merge=merge)
        coarsened += await _replace_all(lanes, batch, _DROP_PANES, errors)
    return coarsened


async def _replace_all(
    lanes: Lanes, batch: Callable[[sqlite3.Connection], _Sum | None], drop: str, errors: Errors
) -> int:
    replaced = 0
    try:
        while (total := await lanes.keeper.read(batch)) is not None:
            await lanes.writer.write(partial(_replace, total=total, drop=drop))
            replaced += len(total.part_ids)
    except _ChangedError:
        pass
    except PayloadError as error:
        errors.append(error)
    return replaced


def _rows_of(
    statement: str, arguments: Sequence[object] = ()
) -> Callable[[sqlite3.Connection], Sequence[tuple[int, ...]]]:
    return lambda connection: connection.execute(statement, arguments).fetchall()


def _batch(
    connection: sqlite3.Connection, *, key: _Key, statement: str, arguments: Sequence[object], merge: Merge
) -> _Sum | None:
    """Sum of a pane and of as many of its parts as are taken at once; None if there are no parts."""
    parts: list[_Row] = []
    size_bytes = 0
    for part in connection.execute(statement, arguments):
        parts.append(part)
        size_bytes += len(part[3])
        if len(parts) == _BATCH_ROWS or size_bytes > _BATCH_BYTES:
            break
    if not parts:
        return None
    pane: _Row | None = connection.execute(_PANE, key).fetchone()
    every = parts if pane is None else [pane, *parts]
    return _Sum(
        key=key,
        pane_id=None if pane is None else pane[0],
        part_ids=[part[0] for part in parts],
        rows=sum(part[1] for part in every),
        late=sum(part[2] for part in every),
        payload=merge([part[3] for part in every]),
    )


def _replace(connection: sqlite3.Connection, total: _Sum, drop: str) -> None:
    pane = connection.execute(_PANE_ID, total.key).fetchone()
    if (None if pane is None else pane[0]) != total.pane_id:
        raise _ChangedError
    if pane is not None:
        connection.execute(_DROP_PANES, pane)
    if connection.executemany(drop, [(part_id,) for part_id in total.part_ids]).rowcount != len(total.part_ids):
        raise _ChangedError
    connection.execute(_ADD_PANE, (*total.key, total.rows, total.late, total.payload))
