"""Opening the file: connections, the write-ahead log, and bringing an older file up to date.

`user_version` says by which scripts the file was made: version N is script N applied to a file of version N - 1. A file of a
later version is left alone, because an older program would not know what it breaks. So is a database of somebody else.

The log makes readers independent of the writer, and a commit one append. `synchronous=NORMAL` survives a killed process:
what is in the log is the kernel's. A power cut may then lose the newest commits, never the order of them; `FULL` syncs every
commit. The log is copied back after 8 MiB (on 33 KiB commits 4,600/s; 3,900 at 4 MiB as at 16, and at 64 MiB a commit in
between waits for a quarter of a second) and cut down to 64 MiB after a long read has held it up.

Pages that are freed are used again, the file is not made smaller: what is kept is bounded, so the file is, by its largest
state. Compacting it would copy pages in the background for ever, or hold the lock for long. A backup of it can be compacted.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from service.errors import UnusableStoreError
from service.storage.sqlite.failures import primary_code

__all__ = ["Durability", "connect", "prepare", "scripts"]

Durability = Literal["process", "power"]

APPLICATION_ID: Final = 0x44524654  # "DRFT", in the header of the file
_CHECKPOINT_PAGES: Final = 12_000
"""Pages of the log at which a commit copies them itself, after all: the store has it done beside the commits long before."""

_LOG_BYTES_MAX: Final = 64 << 20
_CACHE_KIB: Final = 8_192  # a group of commits should fit, or it is written to the log twice
_STATEMENTS: Final = 256  # kept prepared; the store has about a hundred
_WAL_ATTEMPTS: Final = 20


def scripts() -> Sequence[str]:
    """The schema, and what has changed it since, in order."""
    folder = resources.files(__package__)
    later = sorted(entry.name for entry in folder.iterdir() if entry.name.startswith("migration_"))
    return [folder.joinpath(name).read_text(encoding="utf-8") for name in ("schema.sql", *later)]


def connect(
    path: Path, *, durability: Durability, lock_timeout_s: float, create: bool = False, reading: bool = False
) -> sqlite3.Connection:
    """Connect to the file; transactions are begun and ended by hand."""
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=lock_timeout_s,
        isolation_level=None,
        check_same_thread=False,  # a lane has one thread, but its connection may be closed from another
        cached_statements=_STATEMENTS,
    )
    try:
        for pragma in (
            f"synchronous = {'FULL' if durability == 'power' else 'NORMAL'}",
            f"fullfsync = {int(durability == 'power')}",  # macOS: a sync that reaches the platter
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            f"journal_size_limit = {_LOG_BYTES_MAX}",
            f"cache_size = -{_CACHE_KIB}",
            f"query_only = {int(reading)}",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def prepare(path: Path, steps: Sequence[str], *, lock_timeout_s: float) -> None:
    """Make the file, or bring it to the version of the last step; other processes may be doing the same.

    Raises
    ------
    UnusableStoreError
        The file is of a later version, or not a store.
    """
    with closing(connect(path, durability="process", lock_timeout_s=lock_timeout_s, create=True)) as connection:
        if _version(connection, len(steps)) < len(steps):
            _migrate(connection, steps)
        _write_ahead(connection)


def _version(connection: sqlite3.Connection, known: int) -> int:
    connection.execute("BEGIN")  # the three are of one moment
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("COMMIT")
    if version > known:
        raise UnusableStoreError(
            f"the database is of version {version}, this program knows {known}: it was written by a later Driftline"
        )
    if (application, version > 0) != (APPLICATION_ID, True) and (application, version, tables) != (0, 0, 0):
        raise UnusableStoreError("the file is a database, but not one of Driftline's")
    return int(version)


def _migrate(connection: sqlite3.Connection, steps: Sequence[str]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()  # another process may have been faster
        for script in steps[version:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {max(version, len(steps))}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Sequence[str]:
    # sqlite3.executescript would commit before it begins.
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the log; unlike any other lock, the one for that is not waited for by SQLite."""
    for attempt in range(_WAL_ATTEMPTS):
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or attempt == _WAL_ATTEMPTS - 1:
                raise
            connection.execute("BEGIN EXCLUSIVE")  # waits for whoever holds the file, readers too
            connection.execute("ROLLBACK")
        else:
            if mode != "wal":
                raise UnusableStoreError("the file system cannot hold a write-ahead log; wanted a local disk")
            return
