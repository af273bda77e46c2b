"""Addresses of names.

The resolver of the system blocks, for half a minute if a name server is gone, and cannot be told to stop. The event loop's own
threads are few and shared with those who count rows; so each name that is being looked up has a thread of its own, and nobody
but those who want that name waits for it.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address

__all__ = ["Lookup", "Resolver", "system_resolver"]

Resolver = Callable[[str], Sequence[str]]


def system_resolver(host: str) -> Sequence[str]:
    """Addresses of a name, each once, in the order of the system's preference; raises `OSError`."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[4][0]) for address in found))


class Lookup:
    """Looks names up; who asks for a name that is being looked up waits for the same answer."""

    def __init__(self, resolver: Resolver = system_resolver) -> None:
        self._resolver = resolver
        self._under_way: dict[str, asyncio.Future[Sequence[str]]] = {}

    async def addresses(self, host: str) -> Sequence[str]:
        """Addresses of a host.

        Raises
        ------
        OSError
            The name is not known, or nobody answered.
        """
        with contextlib.suppress(ValueError):
            return (str(ip_address(host)),)
        future = self._under_way.get(host)
        if future is None:
            future = self._under_way[host] = asyncio.get_running_loop().create_future()
            future.add_done_callback(lambda done: self._end(host, done))
            threading.Thread(target=self._resolve, args=(host, future), name="driftline-lookup", daemon=True).start()
        return await asyncio.shield(future)

    def _end(self, host: str, future: "asyncio.Future[Sequence[str]]") -> None:
        del self._under_way[host]
        future.exception()  # all who waited may have gone: then nobody else looks at it

    def _resolve(self, host: str, future: "asyncio.Future[Sequence[str]]") -> None:
        answer: Sequence[str] | OSError
        try:
            answer = self._resolver(host)
        except OSError as error:
            answer = error
        except UnicodeError:  # a label that is too long or empty
            answer = OSError("not a name")
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            future.get_loop().call_soon_threadsafe(_set, future, answer)


def _set(future: "asyncio.Future[Sequence[str]]", answer: Sequence[str] | OSError) -> None:
    if isinstance(answer, OSError):
        future.set_exception(answer)
    else:
        future.set_result(answer)
