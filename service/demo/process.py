"""The real service as a child process on the loopback interface, gone when the block is left, whatever ended it.

The child has a session of its own: a Ctrl-C in the terminal reaches only us, who stop it in order, and what it has started
itself can be ended with it.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from service.errors import DriftlineError

__all__ = ["RunningService", "ServiceFailedError", "free_port", "interruptible", "running_service"]

HOST: Final = "127.0.0.1"
_START_S: Final = 60.0
_STOP_S: Final = 10.0
_POLL_S: Final = 0.05
_LOG_BYTES_SHOWN: Final = 2_000


class ServiceFailedError(DriftlineError):
    """The service did not start, or ended by itself; the text has the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningService:
    """A service that was ready.

    Parameters
    ----------
    url : str
    process_id : int
    ended : callable
        Whether it has ended by itself.
    """

    url: str
    process_id: int
    ended: Callable[[], bool]


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block, SIGTERM, SIGHUP and SIGINT end it in order.

    A shell starts what is in its background with SIGINT ignored; whoever sends it all the same means it.
    """

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    ends = (signal.SIGTERM, signal.SIGHUP)
    numbers = [signal.SIGINT, *(number for number in ends if signal.getsignal(number) is not signal.SIG_IGN)]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running_service(config: Path, port: int, log: Path, secrets: Mapping[str, str]) -> Iterator[RunningService]:
    """Run `driftline serve` with a configuration.

    Parameters
    ----------
    config : Path
    port : int
    log : Path
        Where its log lines go.
    secrets : mapping of str to str
        Variables that the configuration names. Others of Driftline's are not handed on: they would win over the file.

    Yields
    ------
    RunningService

    Raises
    ------
    ServiceFailedError
    """
    _check_is_free(port)
    own = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")}
    command = [sys.executable, "-m", "service", "serve", "--config", str(config), "--host", HOST, "--port", str(port)]
    with log.open("wb") as lines:
        process = subprocess.Popen(
            command,
            env=own | dict(secrets),
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=lines,
            start_new_session=True,
        )
        try:
            url = f"http://{HOST}:{port}"
            _wait_until_ready(process, url, log)
            yield RunningService(url=url, process_id=process.pid, ended=lambda: process.poll() is not None)
        finally:
            _stop(process)


def _check_is_free(port: int) -> None:
    """Whoever has the port already would answer in the place of a service that is only starting."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServiceFailedError(f"port {port}: {error.strerror}") from error


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    with httpx.Client(trust_env=False, timeout=1.0) as client:
        while time.monotonic() < deadline_s:
            if process.poll() is not None:
                raise ServiceFailedError(f"the service did not start:\n{_end_of(log)}")
            with suppress(httpx.TransportError):
                if client.get(f"{url}/readyz").is_success:
                    return
            time.sleep(_POLL_S)
    raise ServiceFailedError(f"the service was not ready within {_START_S:g} s:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_bytes()[-_LOG_BYTES_SHOWN:].decode(errors="replace")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """In order; and if that takes too long, or we are interrupted once more, at once."""
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # its builds too
        process.wait()
