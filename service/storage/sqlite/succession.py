"""Knowing at once that the process before is dead, where otherwise its leases would have to run out.

All processes on a file are on one machine, and the kernel gives a lock on a file back when its holder dies, however it dies. Of
the processes that share a store one holds the lock of a file beside it, in which its name stands. Who gets the lock next finds
the name of one that is no more. One that is stopped keeps its lock, and so its leases, until those have run out.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["Succession"]

_NAME_BYTES_MAX = 4096


class Succession:
    """The lock beside a database.

    Parameters
    ----------
    database : Path
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}-holder")
        self._descriptor: int | None = None

    def take(self, name: str) -> str | None:
        """Take the lock if nobody has it; the name of the process that had it before, if that is no more since now."""
        if self._descriptor is not None:
            return None
        with suppress(OSError):  # somebody has it, or there is no place for it: then leases run out by themselves
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                before = os.pread(descriptor, _NAME_BYTES_MAX, 0).decode(errors="replace")
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, name.encode(), 0)
            except BaseException:
                os.close(descriptor)
                raise
            self._descriptor = descriptor
            return before or None
        return None

    def close(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
