"""One connection on one thread.

SQLite calls block, so none is made on the event loop. A store has three lanes: writes take turns on one, reads have another
and never wait for a write (WAL), and housekeeping reads and merges on a third, so that neither waits for that. Jobs of a
lane run one after the other in the order they came.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from service.errors import StoreUnavailableError
from service.storage.sqlite.failures import is_of_the_connection, translated

__all__ = ["Job", "Lane", "Lanes"]

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]


class Lane:
    """Runs jobs on a connection that it opens at the first of them, and again after a failure that may have hurt it."""

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        # Half the way there and back of a ThreadPoolExecutor (50 us to 90), which is much of what a small commit costs.
        self._thread = threading.Thread(target=self._work, name=f"driftline-{name}", daemon=True)
        self._thread.start()
        self._closed = False

    async def read(self, job: Job[T]) -> T:
        """Run a job that sees one state of the store from its first read to its last."""
        return await self.run(lambda connection: _in_transaction(connection, "BEGIN", job))

    async def write(self, job: Job[T]) -> T:
        """Run a job in a write transaction: all of it or, whatever it raises, nothing."""
        return await self.run(lambda connection: _in_transaction(connection, "BEGIN IMMEDIATE", job))

    async def run(self, job: Job[T]) -> T:
        """Run a job outside any transaction."""
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        return await self._ordered(lambda: self._guarded(job))

    async def close(self) -> None:
        """Finish the jobs that were given, then close the connection; a second call does nothing."""
        if not self._closed:
            self._closed = True
            done = self._ordered(self._disconnect)
            self._orders.put(None)
            await done

    def _ordered(self, work: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._orders.put((loop, future, work))
        return future

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            _carry_out(*order)
            del order  # or the last result would be kept until the next

    def _guarded(self, job: Job[T]) -> T:
        with translated():
            try:
                if self._connection is None:
                    self._connection = self._connect()
                return job(self._connection)
            except sqlite3.Error as error:
                if is_of_the_connection(error):
                    self._disconnect()
                raise
            finally:
                # A rollback that failed has left the transaction open: nothing more may go into it.
                if self._connection is not None and self._connection.in_transaction:
                    self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """The lanes of a store."""

    writer: Lane
    reader: Lane
    keeper: Lane


_Order = tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Callable[[], Any]]


def _carry_out(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], work: Callable[[], T]) -> None:
    if future.cancelled():  # nobody waits for it, and it has not begun
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - it is raised where the job is awaited
        outcome = partial(_fail, future, error)
    else:
        outcome = partial(_succeed, future, result)
    with suppress(RuntimeError):  # the loop has gone, and whoever waited with it
        loop.call_soon_threadsafe(outcome)


def _succeed(future: asyncio.Future[T], result: T) -> None:
    if not future.cancelled():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.cancelled():
        future.set_exception(error)


def _in_transaction(connection: sqlite3.Connection, begin: str, job: Job[T]) -> T:
    connection.execute(begin)
    try:
        result = job(connection)
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors (a full disk), and not after others.
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise
    return result
