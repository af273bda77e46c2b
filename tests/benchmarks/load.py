"""Load on a server: many connections, one request at a time on each; what it cost the server in CPU seconds."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_bytes(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def request_bytes(path, body, content_type="application/json", headers=()):
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    return status, body


async def keep_busy(port, request, stop_s, latencies, pause_s=0.0):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done = 0
    while time.perf_counter() < stop_s:
        started = time.perf_counter()
        writer.write(request)
        status, body = await _answer(reader)
        latencies.append(time.perf_counter() - started)
        assert status == 200, body
        done += 1
        if pause_s:
            await asyncio.sleep(pause_s)
    writer.close()
    return done


async def _load(port, request, connections, seconds, pause_s):
    latencies = []
    stop_s = time.perf_counter() + seconds
    counts = await asyncio.gather(*(keep_busy(port, request, stop_s, latencies, pause_s) for _ in range(connections)))
    return sum(counts), latencies


def load(port, pid, request, *, connections=64, seconds=3.0, pause_s=0.0):
    """Requests answered, CPU seconds of the server, and latencies in seconds."""
    before = cpu_seconds(pid)
    done, latencies = asyncio.run(_load(port, request, connections, seconds, pause_s))
    return done, cpu_seconds(pid) - before, sorted(latencies)


def wait_for(port, process, path="/", seconds=30.0):
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), 0.5) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                if connection.recv(64).startswith(b"HTTP/1.1 2"):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError("the server did not come up")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command, port, path="/", **environment):
    environment = {**os.environ, **environment}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or each start would compile all of it anew
    process = subprocess.Popen(
        [sys.executable, *command], env=environment, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    try:
        wait_for(port, process, path)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def yardstick(module, port, **environment):
    folder = Path(__file__).parent / "yardsticks"
    command = ["-m", "uvicorn", f"{module}:app", "--app-dir", str(folder), "--port", str(port), "--loop", "uvloop"]
    command += ["--http", "httptools", "--no-access-log", "--log-level", "warning"]
    path = "/docs" if module == "fastapi_app" else "/"
    return running(command, port, path, **environment)


def service(folder, port, *options):
    command = ["-m", "service", "serve", "--port", str(port), "--store", str(Path(folder) / "driftline.db")]
    return running([*command, "--log-level", "warning", *options], port, "/readyz", OPENBLAS_NUM_THREADS="1")
