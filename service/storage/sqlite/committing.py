"""Adding counts: the hot path. Everything that a commit rests on is read first, then written; nothing is remembered.

A single row of 50 columns costs five statements: model, progress, series, delta, progress again.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from service.ports import Commit, Committed, Mark

__all__ = ["commit", "marks"]

_COMMITTED: Final = Committed(status="committed")
_STALE: Final = Committed(status="stale")
_PASSED: Final = Committed(status="passed")

_MODEL: Final = "SELECT id, epoch FROM models WHERE model = ?"
_MARK: Final = 'SELECT "key", digest, answer FROM marks WHERE model_id = ? AND "key" = ?'
_NUMBER_MARKS: Final = """
    INSERT INTO marks_made VALUES (?, ?) ON CONFLICT (model_id) DO UPDATE SET number = number + excluded.number"""
_LAST_MARK: Final = "SELECT number FROM marks_made WHERE model_id = ?"
_ADD_MARK: Final = "INSERT INTO marks VALUES (?, ?, ?, ?, ?, ?)"
_LAST_TURN: Final = "SELECT number FROM turns WHERE model_id = ? AND sender = ?"
_TAKE_TURN: Final = """
    INSERT INTO turns VALUES (?, ?, ?, ?)
    ON CONFLICT (model_id, sender) DO UPDATE SET number = excluded.number, at_us = excluded.at_us"""
_PROGRESS: Final = "SELECT newest_us, evaluated_until_us FROM progress WHERE model_id = ? AND version = ?"
_ADD_PROGRESS: Final = "INSERT INTO progress VALUES (?, ?, ?, ?, NULL)"
_ADVANCE: Final = "UPDATE progress SET newest_us = ?, advanced_at_us = ? WHERE model_id = ? AND version = ?"
_TOUCH: Final = """
    INSERT INTO dirty VALUES (?, ?, ?, 1)
    ON CONFLICT (model_id, version, window_start_us) DO UPDATE SET times = times + 1"""
_SERIES: Final = "SELECT id FROM series WHERE model_id = ? AND version = ? AND reference_id = ? AND segment = ?"
_ADD_SERIES: Final = "INSERT INTO series (model_id, version, reference_id, segment) VALUES (?, ?, ?, ?)"
_ADD_DELTA: Final = (
    "INSERT INTO deltas (series_id, pane_start_us, window_start_us, rows, late, payload) VALUES (?, ?, ?, ?, ?, ?)"
)


def commit(connection: sqlite3.Connection, commits: Sequence[Commit], now_us: int) -> Sequence[Committed]:
    """Write each commit that is neither stale nor a duplicate."""
    return [_commit(connection, one, now_us) for one in commits]


def marks(connection: sqlite3.Connection, model: str, keys: Sequence[str]) -> Sequence[Mark]:
    """Those marks that are known."""
    row = connection.execute(_MODEL, (model,)).fetchone()
    return [] if row is None else _known(connection, row[0], keys)


def _commit(connection: sqlite3.Connection, commit: Commit, now_us: int) -> Committed:
    row = connection.execute(_MODEL, (commit.model,)).fetchone()
    if row is None:
        return _STALE
    model_id, epoch = row
    # Known before stale: what has been counted need not be counted anew by the new epoch.
    turn = commit.turn
    if turn is not None and _last_turn(connection, model_id, turn.sender) >= turn.number:
        return _PASSED
    known = _known(connection, model_id, [mark.key for mark in commit.marks])
    if known:
        return Committed(status="duplicate", known=known)
    if epoch != commit.epoch:
        return _STALE
    for version in commit.newest_us.keys() | {delta.version for delta in commit.deltas}:
        _advance(connection, model_id, version, commit, now_us)
    _add_deltas(connection, model_id, commit)
    _add_marks(connection, model_id, commit.marks, now_us)
    if turn is not None:
        connection.execute(_TAKE_TURN, (model_id, turn.sender, turn.number, now_us))
    return _COMMITTED


def _last_turn(connection: sqlite3.Connection, model_id: int, sender: str) -> int:
    row = connection.execute(_LAST_TURN, (model_id, sender)).fetchone()
    return 0 if row is None else int(row[0])


def _known(connection: sqlite3.Connection, model_id: int, keys: Sequence[str]) -> Sequence[Mark]:
    rows = (connection.execute(_MARK, (model_id, key)).fetchone() for key in keys)
    return [Mark(key=key, digest=digest, answer=answer) for key, digest, answer in filter(None, rows)]


def _advance(connection: sqlite3.Connection, model_id: int, version: str, commit: Commit, now_us: int) -> None:
    newest_us = None if version not in commit.newest_us else int(commit.newest_us[version])
    row = connection.execute(_PROGRESS, (model_id, version)).fetchone()
    if row is None:
        if newest_us is not None:
            connection.execute(_ADD_PROGRESS, (model_id, version, newest_us, now_us))
        return
    was_us, evaluated_until_us = row
    if newest_us is not None and (was_us is None or newest_us > was_us):
        connection.execute(_ADVANCE, (newest_us, now_us, model_id, version))
    if evaluated_until_us is not None:
        for delta in commit.deltas:
            if delta.version == version and delta.window_start_us < evaluated_until_us:
                connection.execute(_TOUCH, (model_id, version, int(delta.window_start_us)))


def _add_deltas(connection: sqlite3.Connection, model_id: int, commit: Commit) -> None:
    ids: dict[tuple[str, str, str], int] = {}
    rows = []
    for delta in commit.deltas:
        key = (delta.version, delta.reference_id, delta.segment)
        if key not in ids:
            ids[key] = _series(connection, model_id, key)
        # SQLite takes integers of numpy for bytes, without a word.
        times = (int(delta.pane_start_us), int(delta.window_start_us))
        rows.append((ids[key], *times, int(delta.rows), int(delta.late), delta.payload))
    connection.executemany(_ADD_DELTA, rows)


def _series(connection: sqlite3.Connection, model_id: int, key: tuple[str, str, str]) -> int:
    row = connection.execute(_SERIES, (model_id, *key)).fetchone()
    if row is not None:
        return int(row[0])
    return connection.execute(_ADD_SERIES, (model_id, *key)).lastrowid or 0


def _add_marks(connection: sqlite3.Connection, model_id: int, marks: Sequence[Mark], now_us: int) -> None:
    if marks:
        connection.execute(_NUMBER_MARKS, (model_id, len(marks)))
        (last,) = connection.execute(_LAST_MARK, (model_id,)).fetchone()
        numbered = enumerate(marks, last - len(marks) + 1)
        connection.executemany(
            _ADD_MARK, ((model_id, number, mark.key, mark.digest, mark.answer, now_us) for number, mark in numbered)
        )
