"""A raw ASGI application that puts one small blob a group of requests into SQLite, and answers when it is committed.

WAL, synchronous NORMAL, one writer thread: the least that "answer after the commit" can cost.
"""

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from functools import cache

_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


class Committer:
    def __init__(self, path):
        self._thread = ThreadPoolExecutor(1)
        self._connection = self._thread.submit(self._open, path).result()
        self._waiting = []
        self._running = False

    @staticmethod
    def _open(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("CREATE TABLE IF NOT EXISTS blobs (id INTEGER PRIMARY KEY, blob BLOB)")
        return connection

    def _commit(self, blob):
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("INSERT INTO blobs (blob) VALUES (?)", (blob,))
        self._connection.execute("COMMIT")

    async def add(self, body):
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((body, done))
        if not self._running:
            self._running = True
            self._task = asyncio.create_task(self._run())
        await done

    async def _run(self):
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            await loop.run_in_executor(self._thread, self._commit, group[0][0][:64])
            for _, done in group:
                done.set_result(None)
        self._running = False


@cache
def _committer():
    return Committer(os.environ["YARDSTICK_STORE"])


async def app(scope, receive, send):
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    await _committer().add(b"".join(parts))
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})
