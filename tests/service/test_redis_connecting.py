"""Ways to a Redis: TLS, sockets, users and passwords, and what is said when one is wrong."""

import asyncio

import pytest
from redis_server import RedisServer, shared_server
from stores import commit, delta, made, total_of
from tls_proxy import TlsProxy

from service.app.stores import open_store
from service.errors import DeclarationError, StoreUnavailableError
from service.settings import StoreSettings
from service.storage.redis import Connecting, RedisStore

PASSWORD = "correct-horse"  # noqa: S105 - of servers that live as long as a test
ACL = ("ACL", "SETUSER", "drift", "on", f">{PASSWORD}", "~driftline:*", "+@all", "-@admin", "-@dangerous")


def counted(url, environment=None, **settings):
    """What a store on an address counts, opened as the service opens it."""

    async def within():
        store = await open_store(StoreSettings(url=url, connect_timeout="5s", tries=0, **settings), environment or {})
        try:
            epoch = await made(store)
            await store.commit([commit(epoch, delta())])
            return await total_of(store)
        finally:
            await store.close()

    return asyncio.run(within())


@pytest.fixture
def server():
    server = shared_server()
    server.empty()
    return server


@pytest.fixture
def guarded():
    own = RedisServer()
    with own.client() as client:
        client.execute_command(*ACL)
        client.execute_command("ACL", "SETUSER", "default", "off")
    yield own
    own.close()


# --- TLS


def test_a_server_with_tls_is_known_by_the_authority_that_is_named(server, tmp_path):
    with TlsProxy(tmp_path, server.port) as proxy:
        assert counted(f"rediss://127.0.0.1:{proxy.port}/0", tls_ca_file=proxy.ca_file) == [1, 0, 0]


def test_a_server_whose_authority_nobody_knows_is_not_trusted(server, tmp_path):
    with (
        TlsProxy(tmp_path, server.port) as proxy,
        pytest.raises(StoreUnavailableError, match=r"not trusted.*tls_ca_file"),
    ):
        counted(f"rediss://127.0.0.1:{proxy.port}/0")


def test_a_server_that_is_somebody_else_is_not_trusted(server, tmp_path):
    with (
        TlsProxy(tmp_path, server.port, name="elsewhere.example") as proxy,
        pytest.raises(StoreUnavailableError, match="not trusted"),
    ):
        counted(f"rediss://127.0.0.1:{proxy.port}/0", tls_ca_file=proxy.ca_file)


def test_a_server_may_ask_who_we_are(server, tmp_path):
    with TlsProxy(tmp_path, server.port, asks=True) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}/0"
        shown = {"tls_ca_file": proxy.ca_file, "tls_certificate_file": proxy.certificate_file}

        assert counted(url, **shown) == [1, 0, 0]
        with pytest.raises(StoreUnavailableError, match="Redis cannot be reached"):
            counted(url, tls_ca_file=proxy.ca_file)


def test_without_tls_a_server_that_speaks_it_cannot_be_reached(server, tmp_path):
    with TlsProxy(tmp_path, server.port) as proxy, pytest.raises(StoreUnavailableError, match="cannot be reached"):
        counted(f"redis://127.0.0.1:{proxy.port}/0")


def test_a_certificate_that_is_not_there_is_named():
    with pytest.raises(StoreUnavailableError, match=r"TLS: no/ca.pem cannot be read \(No such file"):
        counted("rediss://127.0.0.1:1/0", tls_ca_file="no/ca.pem")


# --- sockets


def test_a_server_may_be_reached_by_a_socket(tmp_path):
    path = tmp_path / "redis.sock"
    server = RedisServer(unixsocket=str(path))
    try:
        assert counted(f"unix://{path}?db=1") == [1, 0, 0]
        with server.client(1) as client:
            assert client.exists("driftline:{all}:layout")
    finally:
        server.close()


def test_a_socket_that_is_not_there_cannot_be_reached(tmp_path):
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        counted(f"unix://{tmp_path}/no.sock")


# --- users and passwords


def test_a_user_needs_no_more_than_its_own_keys(guarded):
    url = guarded.url.replace("//", "//drift@")

    assert counted(url, {"DRIFTLINE_STORE_PASSWORD": PASSWORD}) == [1, 0, 0]


def test_a_password_may_be_in_a_file_and_the_environment_wins(guarded, tmp_path):
    url, file = guarded.url.replace("//", "//drift@"), tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")

    assert counted(url, password_file=file) == [1, 0, 0]
    with pytest.raises(StoreUnavailableError, match="refuses the user or the password") as caught:
        counted(url, {"DRIFTLINE_STORE_PASSWORD": "planted"}, password_file=file)
    assert "planted" not in str(caught.value)


def test_a_file_without_a_password_is_named(tmp_path):
    with pytest.raises(DeclarationError, match=r"file .*none cannot be read"):
        counted("redis://127.0.0.1:1/0", password_file=tmp_path / "none")


def test_a_server_that_wants_a_password_says_so(guarded):
    with pytest.raises(StoreUnavailableError, match="wants a user and a password|refuses the user"):
        counted(guarded.url)


def test_a_user_without_rights_is_told_so(server):
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~driftline:*", "+@read", "+hello")
    try:
        with pytest.raises(StoreUnavailableError, match="does not permit this user"):
            counted(server.url.replace("//", "//reader@"), {"DRIFTLINE_STORE_PASSWORD": PASSWORD})
    finally:
        with server.client() as client:
            client.execute_command("ACL", "DELUSER", "reader")


def test_passwords_are_not_shown():
    shown = repr(Connecting(password=PASSWORD, sentinel_password=PASSWORD))

    assert PASSWORD not in shown


# --- calls at a time


def test_more_calls_than_connections_wait_for_each_other(server):
    async def within():
        store = await RedisStore.open(server.url, connecting=Connecting(connections_max=2))
        try:
            epoch = await made(store)
            await asyncio.gather(*(store.commit([commit(epoch, delta())]) for _ in range(50)))
            with server.client() as client:
                ours = [one for one in client.client_list() if one["name"] == "driftline"]
            return await total_of(store), len(ours)
        finally:
            await store.close()

    total, connections = asyncio.run(within())

    assert total == [50, 0, 0]
    assert connections <= 2
