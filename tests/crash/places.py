"""Where the services of a trial keep their store: a file, or a Redis with a wire to each service; and what is asked past them."""

import asyncio
import sqlite3
from contextlib import closing, suppress

from redis.exceptions import RedisError
from redis_server import RedisServer
from wire import Wire

from service.clock import SystemClock
from service.errors import StoreUnavailableError
from service.storage.redis import RedisStore
from service.storage.sqlite import SqliteStore

_EVALUATED = "SELECT model, evaluated_until_us FROM progress JOIN models ON models.id = progress.model_id"


class FilePlace:
    """A SQLite file."""

    def __init__(self, database):
        self.database = database

    def environment(self, _):
        """Of the service with a number."""
        return {"DRIFTLINE_STORE_PATH": str(self.database)}

    def opening(self):
        """Open the store."""
        return SqliteStore.open(self.database, SystemClock())

    def connected(self, timeout_s=10.0):
        """A connection to the database, past the store."""
        return closing(sqlite3.connect(self.database, timeout=timeout_s, isolation_level=None))

    def let_time_pass(self):
        """Let leases and claims run out at once; how many evaluations were recorded until then.

        Nothing happens if a stopped process holds the database, or the first one died before it had made it.
        """
        evaluations = 0
        if not self.database.exists():
            return evaluations
        with suppress(sqlite3.OperationalError), self.connected(timeout_s=0.5) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE roles SET until_us = 0")
            connection.execute("DELETE FROM members")
            connection.execute("UPDATE deliveries SET claimed_until_us = 0")
            evaluations = connection.execute("SELECT coalesce(max(sequence), 0) FROM evaluations").fetchone()[0]
            connection.execute("COMMIT")
        return evaluations

    def evaluated(self):
        """Until when each model is evaluated, and how many windows are dirty."""
        with self.connected() as connection:
            (dirty,) = connection.execute("SELECT count(*) FROM dirty").fetchone()
            return dict(connection.execute(_EVALUATED)), dirty

    def undelivered(self):
        """Notices that are not delivered."""
        with self.connected() as connection:
            return connection.execute("SELECT count(*) FROM deliveries WHERE state <> 'delivered'").fetchone()[0]

    def close(self):
        """Nothing is open."""


class RedisPlace:
    """A Redis that keeps what it has acknowledged, with a wire to each service."""

    def __init__(self, services, seed):
        self.server = RedisServer(appendonly="yes", appendfsync="always")
        self.wires = [Wire(self.server.port, seed=seed + number) for number in range(services)]

    def environment(self, number):
        """Of the service with a number."""
        return {"DRIFTLINE_STORE_URL": self.wires[number].url}

    def opening(self):
        """Open the store, past the wires."""
        return RedisStore.open(self.server.url)

    def let_time_pass(self):
        """Let leases and claims run out at once."""
        with suppress(RedisError), self.server.client() as client:
            client.delete("driftline:{all}:members", *client.scan_iter("driftline:{m:*}:role", count=1000))
            for delivery in client.scan_iter("driftline:{m:*}:delivery:*", count=1000):
                client.hset(delivery, "until", "")
        return 0

    def evaluated(self):
        """Until when each model is evaluated, and how many windows are dirty."""
        found = self._asked(lambda store: store.progress()) or ()
        return {one.model: one.evaluated_until_us for one in found}, sum(len(one.dirty) for one in found)

    def undelivered(self):
        """Notices that are not delivered."""
        found = self._asked(lambda store: store.outbox_counts())
        return 1 if found is None else sum(n for (_, state), n in found.items() if state != "delivered")

    def close(self):
        """End the server."""
        for wire in self.wires:
            wire.close()
        self.server.close()

    def _asked(self, question):
        async def asked():
            store = await self.opening()
            try:
                return await question(store)
            finally:
                await store.close()

        try:
            return asyncio.run(asked())
        except StoreUnavailableError:
            return None
