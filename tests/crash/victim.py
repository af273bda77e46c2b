"""The real command, `python -m service serve`, as a child process that can be stopped in every way there is."""

import http.client
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"

# Below the ports that the kernel gives to clients: a client that calls an address where nobody listens yet could be given
# that very port, be connected to itself, and keep the service from listening.
_PORTS = range(20_000, 32_000)
_PAUSE_S = 0.02


def free_port():
    """A port that nobody listens on."""
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")


def wait_until(holds, seconds, what):
    """Look again and again until something holds; what it was."""
    deadline_s = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(_PAUSE_S)
    return found


class Victim:
    """A service in a folder.

    Its configuration is `driftline.yaml` there, its database `driftline.db`, its log `PORT.log`, all runs after another.
    `before` is a command that runs it.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.port = free_port()
        self.log = self.folder / f"{self.port}.log"
        self.environment = {"DRIFTLINE_STORE_PATH": str(self.database)}
        self.before = []
        self.process = None

    @property
    def database(self):
        return self.folder / "driftline.db"

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        """Start it, and do not wait."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        command = [
            *self.before,
            sys.executable,
            "-m",
            "service",
            "serve",
            "--port",
            str(self.port),
            "--config",
            "driftline.yaml",
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=os.environ | {"PYTHONPATH": path} | self.environment,
                stdout=log,
                stderr=log,
            )
        return self

    def wait_ready(self, seconds=30.0):
        """Wait until it says that it is ready."""
        try:
            wait_until(self._is_ready, seconds, "ready")
        except TimeoutError as error:
            error.add_note(self.tail())
            raise
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the service ended with {self.process.returncode}: {self.tail()}")
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def request(self, method, path, body=None, headers=None, *, timeout_s=30.0):
        """Status, headers and body of one request on a connection of its own."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def get(self, path):
        status, _, body = self.request("GET", path)
        return status, body

    def send(self, number):
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self):
        """Kill it, whatever it is at."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.send_signal(signal.SIGCONT)
            self.process.wait()

    def stop(self, number=signal.SIGTERM, seconds=40.0):
        """Stop it gracefully; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def rss_bytes(self, which="VmRSS"):
        """Resident memory, now or (`VmHWM`) at its most."""
        return int(re.search(rf"{which}:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())[1]) * 1024

    def tail(self, size=2_000):
        """End of the log."""
        return self.log.read_text(errors="replace")[-size:] if self.log.is_file() else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
