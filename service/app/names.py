"""An event loop that waits for no lookup of a name: neither whoever gives one up, nor the process at its end.

uvloop looks names up in threads that belong to the loop. Where no name server answers they take half a minute: it cannot be
closed before, and of every answer that comes after it was given up it logs that nobody took it. So names of stores, of a centre
and of targets are all looked up in the same way.
"""

import socket
from typing import Any

import uvloop

from service.webhooks.lookup import Lookup

__all__ = ["Loop"]


class Loop(uvloop.Loop):
    """An event loop.

    Parameters
    ----------
    lookup : Lookup, optional
    """

    def __init__(self, lookup: Lookup | None = None) -> None:
        super().__init__()
        self._lookup = lookup or Lookup()

    async def getaddrinfo(self, host: Any, port: Any, *, family: int = 0, **how: int) -> Any:
        """Addresses of a host, with the rest of what is needed to connect to them."""
        if isinstance(host, bytes):  # so anyio asks, which httpx connects by
            host = host.decode("latin-1")
        if not isinstance(host, str):
            return await super().getaddrinfo(host, port, family=family, **how)
        found: list[Any] = []
        for address in await self._lookup.addresses(host):
            own = socket.AF_INET6 if ":" in address else socket.AF_INET
            if family in {0, own}:
                found += await super().getaddrinfo(address, port, family=own, **how)
        return found

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, *, family: int = 0, **kept: Any
    ) -> Any:
        """A connection to the first address of a host that takes one."""
        if not isinstance(host, str):
            return await super().create_connection(protocol_factory, host, port, family=family, **kept)
        if kept.get("ssl"):
            kept = {"server_hostname": host} | kept
        refused = OSError("the name has no address of this kind")
        for own, _, _, _, place in await self.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM):
            try:
                return await super().create_connection(protocol_factory, place[0], port, family=own, **kept)
            except OSError as error:
                refused = error
        raise refused
