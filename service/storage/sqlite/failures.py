"""What SQLite reports, as what the service says: the one border at which `sqlite3` errors end."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from service.errors import StoreUnavailableError, UnusableStoreError

__all__ = ["is_of_the_connection", "primary_code", "translated"]

_REASONS: Final = {
    sqlite3.SQLITE_FULL: "the database or its disk is full",
    sqlite3.SQLITE_READONLY: "the database is read-only",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened",
    sqlite3.SQLITE_PERM: "access to the database file is denied",
    sqlite3.SQLITE_BUSY: "another process holds the database and does not let go of it",
    sqlite3.SQLITE_LOCKED: "another process holds the database and does not let go of it",
    sqlite3.SQLITE_PROTOCOL: "another process holds the database and does not let go of it",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
}

# After these, SQLite itself may hold on to a state that is not the disk's; a new connection finds out.
_OF_THE_CONNECTION: Final = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOMEM,
}


_FOR_GOOD: Final = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
"""What does not come right by waiting."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise `StoreUnavailableError` in the place of any error of SQLite."""
    try:
        yield
    except sqlite3.Error as error:
        # The text of SQLite stays behind: it names files, and nothing says that it never quotes a value.
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        code = primary_code(error)
        reason = _REASONS.get(code, "the database refuses")
        raise (UnusableStoreError if code in _FOR_GOOD else StoreUnavailableError)(f"{reason} ({name})") from error


def primary_code(error: sqlite3.Error) -> int:
    """Kind of an error, without its detail; 0 if it is not SQLite's but of the module around it."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def is_of_the_connection(error: sqlite3.Error) -> bool:
    """Whether the connection should be opened anew before it is used again."""
    return primary_code(error) in _OF_THE_CONNECTION
