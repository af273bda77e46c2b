"""Steps of a model version: what they rest on is looked at first, then all of a step is written, or nothing."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from service.ports import AlertChange, EpisodeRow, EvaluationRow, OutboxNotice, Record
from service.storage.sqlite import counts, outbox, roles

__all__ = ["put_episode", "record"]

_EVALUATED: Final = "SELECT evaluated_until_us FROM progress WHERE model_id = ? AND version = ?"
_EVALUATE: Final = """
    INSERT INTO progress (model_id, version, evaluated_until_us) VALUES (?, ?, ?)
    ON CONFLICT (model_id, version) DO UPDATE SET evaluated_until_us = excluded.evaluated_until_us"""
_DIRTY: Final = "SELECT times FROM dirty WHERE model_id = ? AND version = ? AND window_start_us = ?"
_CLEAN: Final = "DELETE FROM dirty WHERE model_id = ? AND version = ? AND window_start_us = ?"
_PUT_EVALUATION: Final = """
    REPLACE INTO evaluations
        (model_id, version, segment, reference_id, size, start_us, end_us, verdict, rows, revision, document)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_ALERT_REVISION: Final = "SELECT revision FROM alerts WHERE model_id = ? AND version = ? AND segment = ?"
_EPISODE_REVISION: Final = "SELECT revision FROM episodes WHERE id = ?"
_PUT_EPISODE: Final = """
    INSERT INTO episodes (id, model_id, version, opened_at_us, open, until_us, revision, document)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET
        model_id = excluded.model_id, version = excluded.version, opened_at_us = excluded.opened_at_us,
        open = excluded.open, until_us = excluded.until_us, revision = excluded.revision, document = excluded.document"""


def record(connection: sqlite3.Connection, record: Record, now_us: int) -> bool:
    """Write a step, unless something that it relied on has changed."""
    row = connection.execute(
        "SELECT id FROM models WHERE model = ? AND epoch = ?", (record.model, record.epoch)
    ).fetchone()
    if row is None or not _holds(connection, row[0], record, now_us):
        return False
    model_id, version = row[0], record.version
    connection.execute(_EVALUATE, (model_id, version, record.evaluated_until_us))
    connection.executemany(_CLEAN, [(model_id, version, window_us) for window_us in record.cleaned])
    connection.executemany(_PUT_EVALUATION, [_evaluation(model_id, evaluation) for evaluation in record.evaluations])
    _put_alert(connection, model_id, record.alert)
    for episode in record.episodes:
        _put_episode(connection, model_id, episode)
    outbox.enqueue(connection, record.notices, now_us)
    connection.executemany(
        "INSERT INTO decisions (model_id, version, end_us, document) VALUES (?, ?, ?, ?)",
        [(model_id, version, end_us, document) for end_us, document in record.decisions],
    )
    return True


def put_episode(
    connection: sqlite3.Connection,
    row: EpisodeRow,
    alert: AlertChange | None,
    notices: Sequence[OutboxNotice],
    now_us: int,
) -> bool:
    """Change an episode by hand, unless it or the alert state has changed."""
    model = connection.execute("SELECT id FROM models WHERE model = ?", (row.model,)).fetchone()
    if model is None or not _stands(connection, model[0], alert, [row]):
        return False
    _put_alert(connection, model[0], alert)
    _put_episode(connection, model[0], row)
    outbox.enqueue(connection, notices, now_us)
    return True


def _holds(connection: sqlite3.Connection, model_id: int, record: Record, now_us: int) -> bool:
    return (
        roles.is_held(connection, model_id, record.fence, now_us)
        and _one(connection, _EVALUATED, (model_id, record.version)) == record.was_evaluated_until_us
        and all(counts.rows(connection, read) == read.rows for read in record.relied_on)
        and all(
            _one(connection, _DIRTY, (model_id, record.version, window_us)) == times
            for window_us, times in record.cleaned.items()
        )
        and _stands(connection, model_id, record.alert, record.episodes)
    )


def _stands(
    connection: sqlite3.Connection, model_id: int, alert: AlertChange | None, episodes: Sequence[EpisodeRow]
) -> bool:
    if alert is not None:
        revision = _one(connection, _ALERT_REVISION, (model_id, alert.version, alert.segment))
        if (revision or 0) != alert.revision:
            return False
    return all((_one(connection, _EPISODE_REVISION, (row.id,)) or 0) == row.revision for row in episodes)


def _one(connection: sqlite3.Connection, statement: str, arguments: tuple[object, ...]) -> int | None:
    row = connection.execute(statement, arguments).fetchone()
    return None if row is None else row[0]


def _evaluation(model_id: int, row: EvaluationRow) -> tuple[object, ...]:
    key = (model_id, row.version, row.segment, row.reference_id, row.size, row.start_us)
    return (*key, row.end_us, row.verdict, int(row.rows), row.revision, row.document)


def _put_alert(connection: sqlite3.Connection, model_id: int, alert: AlertChange | None) -> None:
    if alert is not None:
        connection.execute(
            "REPLACE INTO alerts VALUES (?, ?, ?, ?, ?)",
            (model_id, alert.version, alert.segment, alert.revision + 1, alert.document),
        )


def _put_episode(connection: sqlite3.Connection, model_id: int, row: EpisodeRow) -> None:
    evaluated_us = _one(connection, _EVALUATED, (model_id, row.version))
    until_us = row.opened_at_us if evaluated_us is None else max(row.opened_at_us, evaluated_us)
    connection.execute(
        _PUT_EPISODE,
        (row.id, model_id, row.version, row.opened_at_us, row.open, until_us, row.revision + 1, row.document),
    )
