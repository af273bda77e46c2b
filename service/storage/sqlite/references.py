"""References and the jobs that make them; they belong to the name of a model."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from service.ports import ReferenceRow

__all__ = ["delete_reference", "document", "put_reference", "references"]

# A ready reference keeps its document when only its summary is written again.
_PUT: Final = """
    INSERT INTO model_references
        (model, id, version, state, created_at_us, updated_at_us, summary, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (model, id) DO UPDATE SET
        version = excluded.version, state = excluded.state, created_at_us = excluded.created_at_us,
        updated_at_us = excluded.updated_at_us, summary = excluded.summary,
        document = CASE WHEN excluded.state = 'ready' THEN coalesce(excluded.document, document)
                   ELSE excluded.document END"""
_COLUMNS: Final = ("id", "model", "version", "state", "created_at_us", "updated_at_us", "summary")
_SELECT: Final = f"""
    SELECT {", ".join(_COLUMNS)} FROM model_references
    WHERE model = ?1 AND (?2 IS NULL OR id = ?2) ORDER BY created_at_us, number"""  # noqa: S608 - names of ours
_NEEDED: Final = """
    SELECT EXISTS (
        SELECT 1 FROM activations JOIN models ON models.id = activations.model_id
        WHERE models.model = ?1 AND reference_id = ?2
    ) OR EXISTS (
        SELECT 1 FROM series JOIN models ON models.id = series.model_id
        WHERE models.model = ?1 AND reference_id = ?2
            AND (EXISTS (SELECT 1 FROM panes WHERE series_id = series.id)
                 OR EXISTS (SELECT 1 FROM deltas WHERE series_id = series.id))
    )"""
_DELETE_SERIES: Final = """
    DELETE FROM series WHERE reference_id = ?2 AND model_id = (SELECT id FROM models WHERE model = ?1)"""


def put_reference(connection: sqlite3.Connection, row: ReferenceRow, document: bytes | None) -> None:
    """Keep a reference or the state of a job; it stays in its place among the others."""
    kept = (row.model, row.id, row.version, row.state, row.created_at_us, row.updated_at_us, row.summary, document)
    connection.execute(_PUT, kept)


def references(connection: sqlite3.Connection, model: str, reference_id: str | None = None) -> Sequence[ReferenceRow]:
    """Of a model, in the order they were made, or one of them."""
    rows = connection.execute(_SELECT, (model, reference_id))
    return [ReferenceRow(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]


def document(connection: sqlite3.Connection, model: str, reference_id: str) -> bytes | None:
    """Document of a ready reference."""
    row = connection.execute(
        "SELECT document FROM model_references WHERE model = ? AND id = ? AND state = 'ready'", (model, reference_id)
    ).fetchone()
    return None if row is None else row[0]


def delete_reference(connection: sqlite3.Connection, model: str, reference_id: str) -> bool:
    """Drop one that no activation names and no pane needs."""
    (needed,) = connection.execute(_NEEDED, (model, reference_id)).fetchone()
    if needed:
        return False
    connection.execute(_DELETE_SERIES, (model, reference_id))
    dropped = connection.execute("DELETE FROM model_references WHERE model = ? AND id = ?", (model, reference_id))
    return dropped.rowcount == 1
