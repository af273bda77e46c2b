"""Models, and which reference counts their rows from when on."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from service.ports import Activation, ModelRow

__all__ = ["activate", "delete_model", "epochs", "model", "models", "put_model"]

_MODEL_COLUMNS: Final = "SELECT id, model, epoch, owner, configuration FROM models "
_MODELS: Final = _MODEL_COLUMNS + "ORDER BY model"
_MODEL: Final = _MODEL_COLUMNS + "WHERE model = ?"
_ACTIVATIONS: Final = """
    SELECT version, reference_id, from_us, at_us FROM activations WHERE model_id = ? ORDER BY id"""
_OWNED: Final = (  # what is small; the rest is left to housekeeping
    "DELETE FROM models WHERE id = ?",
    "DELETE FROM activations WHERE model_id = ?",
    "DELETE FROM progress WHERE model_id = ?",
    "DELETE FROM dirty WHERE model_id = ?",
    "DELETE FROM marks_made WHERE model_id = ?",
    "DELETE FROM turns WHERE model_id = ?",
    "DELETE FROM alerts WHERE model_id = ?",
    "DELETE FROM episodes WHERE model_id = ?",
    "DELETE FROM roles WHERE model_id = ?",
)
_NAMED: Final = ("DELETE FROM model_references WHERE model = ?", "DELETE FROM deliveries WHERE model = ?")


def models(connection: sqlite3.Connection) -> Sequence[ModelRow]:
    """All of them, by name."""
    return [_model(connection, row) for row in connection.execute(_MODELS).fetchall()]


def model(connection: sqlite3.Connection, name: str) -> ModelRow | None:
    """One of them."""
    row = connection.execute(_MODEL, (name,)).fetchone()
    return None if row is None else _model(connection, row)


def epochs(connection: sqlite3.Connection) -> Mapping[str, int]:
    """Epoch of each model."""
    return dict(connection.execute("SELECT model, epoch FROM models").fetchall())


def put_model(
    connection: sqlite3.Connection,
    model: str,
    configuration: bytes,
    owner: Literal["api", "file"],
    epoch: int | None,
    *,
    now_us: int,
) -> int | None:
    """Make or change a model that stands as the caller believes; its new epoch."""
    row = connection.execute("SELECT epoch FROM models WHERE model = ?", (model,)).fetchone()
    if (None if row is None else row[0]) != epoch:
        return None
    new = _next_epoch(connection, now_us)
    if epoch is None:
        connection.execute("INSERT INTO models VALUES (?1, ?2, ?1, ?3, ?4)", (new, model, owner, configuration))
    else:
        connection.execute(
            "UPDATE models SET epoch = ?, owner = ?, configuration = ? WHERE model = ?",
            (new, owner, configuration, model),
        )
    return new


def delete_model(connection: sqlite3.Connection, model: str) -> bool:
    """Drop a model and all that is kept of it."""
    row = connection.execute("SELECT id FROM models WHERE model = ?", (model,)).fetchone()
    if row is None:
        return False
    for statement in _OWNED:
        connection.execute(statement, row)
    for statement in _NAMED:
        connection.execute(statement, (model,))
    connection.execute("INSERT INTO deleted_models VALUES (?)", row)
    return True


def activate(
    connection: sqlite3.Connection, model: str, epoch: int, activation: Activation, *, now_us: int
) -> int | None:
    """Append an activation to a model that stands as the caller believes; its new epoch."""
    row = connection.execute("SELECT id FROM models WHERE model = ? AND epoch = ?", (model, epoch)).fetchone()
    if row is None:
        return None
    new = _next_epoch(connection, now_us)
    connection.execute("UPDATE models SET epoch = ? WHERE id = ?", (new, row[0]))
    connection.execute(
        "INSERT INTO activations (model_id, version, reference_id, from_us, at_us) VALUES (?, ?, ?, ?, ?)",
        (row[0], activation.version, activation.reference_id, activation.from_us, activation.at_us),
    )
    return new


def _model(connection: sqlite3.Connection, row: tuple[int, str, int, Literal["api", "file"], bytes]) -> ModelRow:
    model_id, name, epoch, owner, configuration = row
    activations = tuple(
        Activation(version=version, reference_id=reference_id, from_us=from_us, at_us=at_us)
        for version, reference_id, from_us, at_us in connection.execute(_ACTIVATIONS, (model_id,))
    )
    return ModelRow(model=name, epoch=epoch, owner=owner, configuration=configuration, activations=activations)


def _next_epoch(connection: sqlite3.Connection, now_us: int) -> int:
    """The time, or one more than the last: so none comes back that was drawn after a backup, when that is restored."""
    connection.execute("UPDATE counters SET value = max(value + 1, ?) WHERE name = 'epoch'", (now_us,))
    return int(connection.execute("SELECT value FROM counters WHERE name = 'epoch'").fetchone()[0])
