"""The listeners: the API's, and one of their own for probes and Prometheus; and how they end.

SIGTERM or SIGINT ends the service gracefully: no connection is accepted any more, requests that have begun get their answer,
deliveries that have begun end, both within the stop timeout; then what waits is committed. The second listener goes on until
the first has ended, so that probes are told why the service is not ready. A second SIGINT waits for no request any more.

Nobody is listened to before the start is through, unless that takes its time, such as of a Redis that is away: then everybody is
told why there is nothing to be had yet, on the connections on which they will be served.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Final

import uvicorn

from service.api.raw import AtOnce
from service.app.connections import protocol_of
from service.app.service import Service
from service.app.sidecar import Sidecar
from service.domain.durations import parse_duration_s
from service.settings import Settings

__all__ = ["serve"]

_BACKLOG = 2048

_SWITCH_S: Final = 0.0005
"""How long a thread waits for the interpreter lock before it is given to it. A commit takes the lock two dozen times: at 5 ms,
which is the default, that is a tenth of a second beside a client that sends without a pause."""

_START_S: Final = 0.5
"""A start that takes longer goes on behind the listeners. Most are over by then, and so are those that fail for good."""


class _Listener(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn would raise them again at its end, and the process would die before the service's."""
        yield


async def serve(settings: Settings) -> None:
    """Run the service until it is told to stop; what was acknowledged is in the store by then."""
    sys.setswitchinterval(_SWITCH_S)
    service: Service | Sidecar
    if settings.store.is_upstream:
        service = await Sidecar.open(settings, os.environ)
    else:
        service = await Service.open(settings, os.environ)
    application = service.application
    listeners = [
        _Listener(_config(settings, application, settings.server.host, settings.server.port, application.at_once))
    ]
    if settings.server.ops_address is not None:
        host, _, port = settings.server.ops_address.rpartition(":")
        listeners.append(_Listener(_config(settings, service.operations, host.strip("[]"), int(port))))
    starting = asyncio.create_task(service.start(), name="start")

    def stop(number: signal.Signals) -> None:
        if listeners[0].should_exit and number == signal.SIGINT:
            listeners[0].force_exit = True
        starting.cancel()  # does nothing once it has started
        service.retire()
        listeners[0].should_exit = True

    def started(start: asyncio.Task[None]) -> None:
        if start.cancelled() or start.exception() is not None:
            listeners[0].should_exit = True

    starting.add_done_callback(started)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        await asyncio.wait([starting], timeout=_START_S)
        if not listeners[0].should_exit:
            await _listen(listeners)
        await asyncio.wait([starting])
        if not starting.cancelled():
            starting.result()
    finally:
        await service.stop()


async def _listen(listeners: list[_Listener]) -> None:
    running = [asyncio.create_task(listener.serve()) for listener in listeners]
    await running[0]
    for listener in listeners[1:]:
        listener.should_exit = True
    await asyncio.gather(*running)


def _config(
    settings: Settings, application: object, host: str, port: int, at_once: AtOnce | None = None
) -> uvicorn.Config:
    return uvicorn.Config(
        application,  # type: ignore[arg-type]  # an ASGI application, whatever its class
        host=host.strip("[]"),
        port=port,
        loop="uvloop",
        http=protocol_of(parse_duration_s(settings.limits.silence_timeout), at_once),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nothing here depends on who the client is
        server_header=False,
        root_path=settings.server.root_path,
        backlog=_BACKLOG,
        timeout_keep_alive=parse_duration_s(settings.limits.keep_alive_timeout),
        timeout_graceful_shutdown=parse_duration_s(settings.limits.stop_timeout),
    )
