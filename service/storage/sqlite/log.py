"""The write-ahead log, copied into the file beside the commits. A copy takes ten milliseconds, in which no commit should wait."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from service.errors import StoreUnavailableError
from service.ports import Commit
from service.storage.sqlite.lane import Lane

__all__ = ["LogCopier"]

_LOG_BYTES: Final = 8 << 20
"""So much is written to the log before it is copied, about once a second at most. Where commits leave no gap, the log is begun
anew by the one that finds it at its limit, for which little is left to copy."""

_COMMIT_BYTES: Final = 24 << 10
"""Pages of the log that a commit takes beside its counts."""


class LogCopier:
    """Has the log copied on a lane that no commit waits for."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._logged_bytes = 0
        self._copying: asyncio.Task[None] | None = None

    def written(self, commits: Sequence[Commit]) -> None:
        """Commits are in the log."""
        self._logged_bytes += _COMMIT_BYTES + sum(len(delta.payload) for one in commits for delta in one.deltas)
        if self._logged_bytes >= _LOG_BYTES and (self._copying is None or self._copying.done()):
            self._logged_bytes = 0
            self._copying = asyncio.create_task(self._copy())

    async def close(self) -> None:
        """Let a copy that is under way end."""
        if self._copying is not None:
            await self._copying

    async def _copy(self) -> None:
        # What cannot be copied now is copied later; where the file cannot be written to at all, commits say so.
        with suppress(StoreUnavailableError):
            await self._lane.run(_copy_log)


def _copy_log(connection: sqlite3.Connection) -> None:
    """Copy what is committed, as far as no reader is behind; writers go on meanwhile."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
