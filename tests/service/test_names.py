"""Lookups of names by the event loop: who gives one up is free, and so is the loop at its end."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time

import httpx
import pytest
from serving import free_port

from service.app.names import Loop
from service.webhooks.lookup import Lookup

HELD_S = 20.0
PORT = 6379


class Resolver:
    """Knows names; one takes long."""

    def __init__(self, **known):
        self.known, self.asked, self.free = known, [], threading.Event()

    def __call__(self, host):
        self.asked.append(host)
        if host == "slow":
            self.free.wait(HELD_S)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return self.known[host]


def run(scenario, resolver):
    """What a scenario returns, and all that the loop had to complain of; the loop is closed by then."""
    complaints = []

    async def within():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        return await scenario(loop)

    with asyncio.Runner(loop_factory=lambda: Loop(Lookup(resolver))) as runner:
        found = runner.run(within())
    return found, complaints


async def given_up(loop):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await loop.create_connection(asyncio.Protocol, "slow", PORT)


def test_neither_who_gives_up_nor_the_loop_at_its_end_waits_for_a_lookup():
    resolver, started_s = Resolver(), time.monotonic()

    run(given_up, resolver)

    took_s = time.monotonic() - started_s
    resolver.free.set()
    assert took_s < HELD_S / 2


def test_a_lookup_that_fails_after_nobody_waits_for_it_is_no_news():
    resolver = Resolver()

    async def scenario(loop):
        for _ in range(3):
            await given_up(loop)
        before = list(resolver.asked)
        resolver.free.set()
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("slow", PORT, type=socket.SOCK_STREAM)
        return before

    assert run(scenario, resolver) == (["slow"], [])


def test_addresses_of_a_name_are_tried_in_order_and_addresses_are_not_looked_up():
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
        resolver = Resolver(many=["127.0.0.3", "127.0.0.2"], few=["127.0.0.3"], none=[])

        async def scenario(loop):
            for host in ("many", "127.0.0.2"):
                transport, _ = await loop.create_connection(asyncio.Protocol, host, port)
                assert transport.get_extra_info("peername") == ("127.0.0.2", port)
                transport.close()
            with pytest.raises(ConnectionRefusedError):
                await loop.create_connection(asyncio.Protocol, "few", port)
            for host in ("none", "unknown"):
                with pytest.raises(OSError, match="name"):
                    await loop.create_connection(asyncio.Protocol, host, port)

        assert run(scenario, resolver) == (None, [])
        assert resolver.asked == ["many", "few", "none", "unknown"]


def test_addresses_are_of_the_family_that_is_asked_for():
    async def scenario(loop):
        asked = ({}, {"family": socket.AF_INET}, {"family": socket.AF_INET6})
        return [
            [info[4][0] for info in await loop.getaddrinfo("both", PORT, type=socket.SOCK_STREAM, **how)]
            for how in asked
        ]

    found, _ = run(scenario, Resolver(both=["::1", "127.0.0.1"]))

    assert found == [["::1", "127.0.0.1"], ["127.0.0.1"], ["::1"]]


def test_the_name_is_what_a_server_with_tls_has_to_prove():
    seen = []

    def hello(server):
        connection, _ = server.accept()
        with connection:
            seen.append(connection.recv(4096))

    with socket.create_server(("127.0.0.2", 0)) as server:
        thread = threading.Thread(target=hello, args=(server,))
        thread.start()

        async def scenario(loop):
            port, trusted = server.getsockname()[1], ssl.create_default_context()
            with contextlib.suppress(OSError):  # nobody answers the hello
                await loop.create_connection(asyncio.Protocol, "many", port, ssl=trusted)

        run(scenario, Resolver(many=["127.0.0.2"]))
        thread.join()

    assert b"many" in seen[0]


def test_what_httpx_connects_to_is_looked_up_in_the_same_way():
    resolver = Resolver(centre=["127.0.0.1"])

    async def scenario(_loop):
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(f"http://centre:{free_port()}/")

    assert run(scenario, resolver) == (None, [])
    assert resolver.asked == ["centre"]
