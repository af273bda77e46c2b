"""Whether a commit would fit, and copies of the whole."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from service.errors import StoreUnavailableError

__all__ = ["copy", "prove"]

# About two panes: with less left than that, the store is as good as full.
_FILLER_BYTES: Final = 64 << 10


def prove(connection: sqlite3.Connection) -> None:
    """Write as much as a commit does, and then drop what the last call has written."""
    # In this order: what is dropped first would make room for what is written.
    row_id = connection.execute("INSERT INTO health (filler) VALUES (zeroblob(?))", (_FILLER_BYTES,)).lastrowid
    connection.execute("DELETE FROM health WHERE id <> ?", (row_id,))


def copy(connection: sqlite3.Connection, path: Path) -> None:
    """Write a copy of one state of the store to a file, which appears when it is whole.

    Raises
    ------
    StoreUnavailableError
        The file cannot be written, or a store is open on it.
    """
    if path.with_name(f"{path.name}-wal").exists():
        raise StoreUnavailableError("backup: a store is open on this file")
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(b"")  # what keeps us from writing there is told before SQLite comes upon it
        with closing(sqlite3.connect(part)) as target:
            connection.backup(target)  # all pages in one step: one state, however many commits go on
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        part.replace(path)
    except OSError as error:
        raise StoreUnavailableError(f"backup: the file cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)
