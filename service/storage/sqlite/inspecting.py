"""A database file seen from outside, while services may have it open: whether it is sound, what is in it, a copy of it.

Nothing is brought up to date here, and nothing written to the file. SQLite itself only looks after the structure of its pages;
so the checksums of all counts are verified too.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.errors import PayloadError, StoreUnavailableError
from service.storage.codec import bins_of, summed
from service.storage.sqlite import health, opening
from service.storage.sqlite.failures import translated

__all__ = ["ModelContents", "StoreContents", "check_is_store", "copy_store", "inspect_store", "is_store"]

_LOCK_TIMEOUT_S: Final = 10.0
_FAULTS_MAX: Final = 10
_MAGIC: Final = b"SQLite format 3\0"
_APPLICATION_ID_AT: Final = 68
_COUNTS, _SKETCH = b"C", b"S"  # a sketch has no checksum

_MODELS: Final = "SELECT id, model, owner FROM models ORDER BY model"
_PANES: Final = """
    SELECT count(*), coalesce(sum(rows), 0), coalesce(sum(length(payload)), 0) FROM (
        SELECT rows, payload FROM panes JOIN series ON series.id = series_id WHERE model_id = ?1
        UNION ALL SELECT rows, payload FROM deltas JOIN series ON series.id = series_id WHERE model_id = ?1
    )"""
_REFERENCES: Final = """
    SELECT count(*), coalesce(sum(length(document)), 0) FROM model_references WHERE model = ? AND state = 'ready'"""
_VERSIONS: Final = """
    SELECT count(*) FROM (
        SELECT version FROM activations WHERE model_id = ?1 UNION SELECT version FROM series WHERE model_id = ?1
    )"""
_EVALUATIONS: Final = "SELECT count(*), coalesce(sum(length(document)), 0) FROM evaluations WHERE model_id = ?"
_EPISODES: Final = "SELECT count(*), coalesce(sum(open), 0) FROM episodes WHERE model_id = ?"
_NEWEST: Final = "SELECT max(newest_us) FROM progress WHERE model_id = ?"
_DELIVERIES: Final = "SELECT state, count(*) FROM deliveries GROUP BY state"
_PAYLOADS: Final = """
    SELECT model, payload FROM panes JOIN series ON series.id = series_id JOIN models ON models.id = model_id
    UNION ALL
    SELECT model, payload FROM deltas JOIN series ON series.id = series_id JOIN models ON models.id = model_id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelContents:
    """What is kept of a model; bytes are of payloads and documents."""

    model: str
    owner: str
    versions: int
    references: int
    reference_bytes: int
    panes: int
    rows: int
    counts_bytes: int
    evaluations: int
    evaluations_bytes: int
    episodes: int
    episodes_open: int
    newest_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreContents:
    """What is in a file.

    Parameters
    ----------
    version, version_known : int
        Of its schema, and the one that this program brings it to when it serves from it.
    size_bytes : int
        Of the file and its log.
    unused_bytes : int
        Of pages that are free to be used again.
    models : sequence of ModelContents
    deliveries : dict of str to int
        Number by state.
    faults : sequence of str
        What is damaged; empty if nothing is.
    """

    version: int
    version_known: int
    size_bytes: int
    unused_bytes: int
    models: Sequence[ModelContents]
    deliveries: dict[str, int]
    faults: Sequence[str]


def is_store(path: Path) -> bool:
    """Whether a file begins as a database of Driftline's does."""
    with path.open("rb") as file:
        head = file.read(_APPLICATION_ID_AT + 4)
    return head.startswith(_MAGIC) and head[_APPLICATION_ID_AT:] == opening.APPLICATION_ID.to_bytes(4, "big")


def inspect_store(path: Path) -> StoreContents:
    """Look at all of a file; takes seconds a gigabyte.

    Raises
    ------
    StoreUnavailableError
        It cannot be opened, is not a store, or was written by a later version.
    """
    with _reading(path) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        known = len(opening.scripts())
        if version > known:
            raise StoreUnavailableError(
                f"the database is of version {version}, this program knows {known}: it was written by a later Driftline"
            )
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        (free_pages,) = connection.execute("PRAGMA freelist_count").fetchone()
        faults = [text for (text,) in connection.execute(f"PRAGMA integrity_check({_FAULTS_MAX})") if text != "ok"]
        # What is damaged may make any statement fail: then that is all there is to say.
        models = [] if faults else [_contents(connection, *row) for row in connection.execute(_MODELS).fetchall()]
        return StoreContents(
            version=version,
            version_known=known,
            size_bytes=sum(file.stat().st_size for file in (path, _log_of(path)) if file.exists()),
            unused_bytes=page_bytes * free_pages,
            models=models,
            deliveries={} if faults else dict(connection.execute(_DELIVERIES).fetchall()),
            faults=faults or list(_damaged(connection)),
        )


def copy_store(path: Path, output: Path) -> None:
    """Write a consistent copy, whoever has the store open and whatever is committed meanwhile.

    Raises
    ------
    StoreUnavailableError
        The store cannot be read, or the copy not be written.
    """
    check_is_store(path)
    with translated(), closing(_connect(path)) as connection:
        health.copy(connection, output)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    check_is_store(path)
    with translated(), closing(_connect(path)) as connection:
        connection.execute("BEGIN")  # one moment
        yield connection


def _connect(path: Path) -> sqlite3.Connection:
    return opening.connect(path, durability="process", lock_timeout_s=_LOCK_TIMEOUT_S, reading=True)


def check_is_store(path: Path) -> None:
    """Return if a file begins as a database of Driftline's does; else say so."""
    try:
        if not is_store(path):
            raise StoreUnavailableError(f"{path}: not a database of Driftline's")
    except OSError as error:
        raise StoreUnavailableError(f"{path}: {error.strerror}") from error


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _contents(connection: sqlite3.Connection, model_id: int, model: str, owner: str) -> ModelContents:
    def one(statement: str, key: int | str) -> tuple[int, ...]:
        return tuple(connection.execute(statement, (key,)).fetchone())

    panes, rows, counts_bytes = one(_PANES, model_id)
    references, reference_bytes = one(_REFERENCES, model)
    evaluations, evaluations_bytes = one(_EVALUATIONS, model_id)
    episodes, episodes_open = one(_EPISODES, model_id)
    return ModelContents(
        model=model,
        owner=owner,
        versions=one(_VERSIONS, model_id)[0],
        references=references,
        reference_bytes=reference_bytes,
        panes=panes,
        rows=rows,
        counts_bytes=counts_bytes,
        evaluations=evaluations,
        evaluations_bytes=evaluations_bytes,
        episodes=episodes,
        episodes_open=episodes_open,
        newest_us=one(_NEWEST, model_id)[0],
    )


def _damaged(connection: sqlite3.Connection) -> Iterator[str]:
    damaged: dict[str, int] = {}
    for model, payload in connection.execute(_PAYLOADS):
        if payload[:1] == _COUNTS:
            try:
                summed([payload], bins_of(payload))
            except PayloadError:
                damaged[model] = damaged.get(model, 0) + 1
        elif payload[:1] != _SKETCH:
            damaged[model] = damaged.get(model, 0) + 1
    for model, count in damaged.items():
        yield f"model {model}: {count:,} stored counts are damaged"
