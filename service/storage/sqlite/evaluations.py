"""Reading what was decided: evaluations, alert states, episodes, the decision log."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from service.ports import EpisodeRow, EvaluationRow

__all__ = ["alert", "decisions", "episode", "episodes", "of_version"]

_EVER_US: Final = 2**63 - 1

_EVALUATION_COLUMNS: Final = (
    "model",
    "version",
    "segment",
    "reference_id",
    "size",
    "start_us",
    "end_us",
    "verdict",
    "rows",
    "revision",
    "document",
)
_EVALUATION: Final = (
    f"SELECT {', '.join(_EVALUATION_COLUMNS)} FROM evaluations JOIN models ON models.id = evaluations.model_id "  # noqa: S608 - names of ours
)
_OF_VERSION: Final = _EVALUATION + (
    "WHERE models.model = ?1 AND version = ?2 AND (?3 IS NULL OR size = ?3) AND end_us > ?4 AND end_us <= ?5 "
    "ORDER BY end_us DESC, sequence DESC LIMIT ?6"
)
_ALERT: Final = """
    SELECT revision, document FROM alerts JOIN models ON models.id = alerts.model_id
    WHERE model = ? AND version = ? AND segment = ?"""
_EPISODE: Final = """
    SELECT episodes.id, model, version, opened_at_us, open, revision, document
    FROM episodes JOIN models ON models.id = episodes.model_id """
_ONE_EPISODE: Final = _EPISODE + "WHERE episodes.id = ?"
_EPISODES: Final = _EPISODE + (
    "WHERE (?1 IS NULL OR model = ?1) AND (open OR NOT ?2) ORDER BY opened_at_us DESC, number DESC LIMIT ?3"
)
_DECISIONS: Final = """
    SELECT end_us, document FROM decisions JOIN models ON models.id = decisions.model_id
    WHERE model = ? AND version = ? AND end_us > ? AND end_us <= ? ORDER BY decisions.id"""


def of_version(
    connection: sqlite3.Connection,
    model: str,
    version: str,
    *,
    size: str | None,
    first_us: int | None,
    last_us: int | None,
    limit: int,
) -> Sequence[EvaluationRow]:
    """Evaluations of a size whose windows end in (first_us, last_us], latest end first."""
    span = (-_EVER_US if first_us is None else first_us, _EVER_US if last_us is None else last_us)
    return [_evaluation(row) for row in connection.execute(_OF_VERSION, (model, version, size, *span, limit))]


def alert(connection: sqlite3.Connection, model: str, version: str, segment: str) -> tuple[int, bytes] | None:
    """Revision and document of an alert state."""
    row: tuple[int, bytes] | None = connection.execute(_ALERT, (model, version, segment)).fetchone()
    return row


def episodes(connection: sqlite3.Connection, model: str | None, limit: int, *, open_only: bool) -> Sequence[EpisodeRow]:
    """Latest first."""
    return [_episode(row) for row in connection.execute(_EPISODES, (model, open_only, limit))]


def episode(connection: sqlite3.Connection, episode_id: str) -> EpisodeRow | None:
    """One of them."""
    row = connection.execute(_ONE_EPISODE, (episode_id,)).fetchone()
    return None if row is None else _episode(row)


def decisions(
    connection: sqlite3.Connection, model: str, version: str, first_us: int, last_us: int
) -> Sequence[tuple[int, bytes]]:
    """Of windows that end in (first_us, last_us], in the order they were made."""
    return connection.execute(_DECISIONS, (model, version, first_us, last_us)).fetchall()


def _evaluation(row: Sequence[Any]) -> EvaluationRow:
    return EvaluationRow(**dict(zip(_EVALUATION_COLUMNS, row, strict=True)))


def _episode(row: tuple[str, str, str, int, int, int, bytes]) -> EpisodeRow:
    episode_id, model, version, opened_at_us, is_open, revision, document = row
    return EpisodeRow(
        id=episode_id,
        model=model,
        version=version,
        opened_at_us=opened_at_us,
        open=bool(is_open),
        revision=revision,
        document=document,
    )
