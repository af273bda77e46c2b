"""The listeners: the API's, and one of their own for probes and Prometheus."""

import asyncio
import contextlib
import os
from collections.abc import Iterator

import uvicorn

from service.app.service import Service
from service.domain.durations import parse_duration_s
from service.settings import Settings

__all__ = ["serve"]

_BACKLOG = 2048
_HEAD_BYTES_MAX = 64 << 10
"""Request line and headers."""


class _Second(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the first listener's."""
        yield


async def serve(settings: Settings) -> None:
    """Run the service until it is told to stop; what was acknowledged is in the store by then."""
    service = await Service.open(settings, os.environ)
    try:
        await service.start()
        servers = [uvicorn.Server(_config(settings, service.application, settings.server.host, settings.server.port))]
        if settings.server.ops_address is not None:
            host, _, port = settings.server.ops_address.rpartition(":")
            servers.append(_Second(_config(settings, service.operations, host.strip("[]"), int(port))))
        running = [asyncio.create_task(server.serve()) for server in servers]
        await running[0]
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*running)
    finally:
        await service.stop()


def _config(settings: Settings, application: object, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        application,  # type: ignore[arg-type]  # an ASGI application, whatever its class
        host=host.strip("[]"),
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        root_path=settings.server.root_path,
        backlog=_BACKLOG,
        timeout_keep_alive=parse_duration_s(settings.limits.keep_alive_timeout),
        timeout_graceful_shutdown=parse_duration_s(settings.limits.stop_timeout),
    )
