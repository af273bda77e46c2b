"""A primary of Redis, a replica of it and three Sentinels, for tests: real processes on loopback."""

import tempfile
from pathlib import Path

from redis import Redis
from redis_server import RedisServer, wait_for

SERVICE = "primary"
DOWN_AFTER_MS = 1_000


class Watched:
    """Servers that Sentinels watch."""

    def __init__(self, n_sentinels=3, **settings):
        settings = {
            "repl_diskless_sync_delay": "0"
        } | settings  # by default a primary waits five seconds for more replicas
        self.primary = RedisServer(**settings)
        self.replica = RedisServer(replicaof=f"127.0.0.1 {self.primary.port}", **settings)
        self._folder = tempfile.TemporaryDirectory()
        self.sentinels = [self._sentinel(i, n_sentinels // 2 + 1) for i in range(n_sentinels)]
        wait_for(self._watched, lambda: [str(self._seen(sentinel)) for sentinel in self.sentinels])

    @property
    def url(self):
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def close(self):
        for server in (*self.sentinels, self.primary, self.replica):
            server.close()
        self._folder.cleanup()

    def replicated(self):
        """The replica has all that the primary has."""
        with self.primary.client() as primary, self.replica.client() as replica:
            there, here = primary.info("replication"), replica.info("replication")
        return here["master_link_status"] == "up" and here["slave_repl_offset"] >= there["master_repl_offset"]

    def primary_port(self):
        """Port of the primary, as the Sentinels say."""
        with self.sentinels[0].client() as client:
            return client.sentinel_get_master_addr_by_name(SERVICE)[1]

    def _sentinel(self, number, quorum):
        file = Path(self._folder.name) / f"sentinel{number}.conf"
        file.write_text(
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.primary.port} {quorum}\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 10000\n"
        )
        return _Sentinel(file)

    def _seen(self, sentinel):
        with sentinel.client() as client:
            return client.sentinel_master(SERVICE)

    def _watched(self):
        seen = [self._seen(sentinel) for sentinel in self.sentinels]
        others = len(self.sentinels) - 1
        return self.replicated() and all(
            one["num-slaves"] == 1 and one["num-other-sentinels"] == others for one in seen
        )


class _Sentinel(RedisServer):
    """A server that is started as a Sentinel: its file comes first, and it has no databases."""

    def __init__(self, file):
        self._file = file
        super().__init__()

    def options(self):
        return [str(self._file), "--port", str(self.port), "--bind", "127.0.0.1", "--sentinel"]

    def client(self, database=0):
        return Redis(host="127.0.0.1", port=self.port)
