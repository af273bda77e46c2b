"""How a Redis is reached: redis-py's clients of a server, a socket, a primary behind Sentinels, and a cluster.

A connection that breaks is made anew with growing pauses, as long as the call may take; what is sent again does no harm, since
writes carry tickets. Sentinels are asked for the primary whenever a connection is made, and a primary that has become a replica
says that it is read-only, which breaks the connection: so a failover is followed without anybody's help. A client of a cluster
follows redirections.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from redis.asyncio import (
    Connection,
    ConnectionPool,
    Redis,
    RedisCluster,
    Sentinel,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.domain.redis_address import RedisAddress
from service.errors import StoreUnavailableError

__all__ = ["Client", "Connected", "Connecting", "connect"]

Client: TypeAlias = "Redis | RedisCluster"

_BACKOFF_S: Final = 0.05
_HEALTH_CHECK_S: Final = 30
_LOST: Final[list[type[Exception]]] = [RedisConnectionError, RedisTimeoutError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connecting:
    """What an address does not say.

    Parameters
    ----------
    password, sentinel_password : str, optional
        Of the user of the servers, and of that of the Sentinels.
    ca_file, certificate_file, key_file : Path, optional
        Whom to trust instead of the authorities of this machine, and what to show servers that want to see a certificate.
    connections_max : int
        At most so many calls at a time.
    connect_timeout_s, answer_timeout_s : float
    call_timeout_s : float
        For a call with all that is tried again: then the sender hears 503 instead.
    tries : int
        Times that a connection is made anew for a call.
    backoff_max_s : float
        Longest pause before it is; the first ones are shorter, and all are random.
    replicas_acknowledge : int
        Replicas that must have a write before it is acknowledged.
    """

    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    connections_max: int = 16
    connect_timeout_s: float = 1.0
    answer_timeout_s: float = 2.0
    call_timeout_s: float = 5.0
    tries: int = 5
    backoff_max_s: float = 0.5
    replicas_acknowledge: int = 0


class _Retry(Retry):
    """Tries again what was lost, and not what was refused: redis-py takes a wrong password for a connection that broke."""

    async def call_with_retry(  # type: ignore[override]  # what is left to the base class need not be spelled out
        self, do: Any, fail: Any, is_retryable: Any = None, **kept: Any
    ) -> Any:
        return await super().call_with_retry(do, fail, is_retryable or _is_lost, **kept)


def _is_lost(error: Exception) -> bool:
    return not isinstance(error, AuthenticationError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A client, and those of Sentinels that it asks."""

    client: Client
    asked: Sequence[Redis] = ()

    async def close(self) -> None:
        """Let go of all connections."""
        for client in (self.client, *self.asked):
            await client.aclose()


def connect(address: RedisAddress, connecting: Connecting) -> Connected:
    """A client, which connects when it is first used.

    Raises
    ------
    StoreUnavailableError
        A file with a certificate or key cannot be read.
    """
    tls = _tls(connecting) if address.tls else {}
    options = _options(address, connecting)
    match address.kind:
        case "cluster":
            nodes = [ClusterNode(host, port) for host, port in address.hosts]
            cluster = RedisCluster(
                startup_nodes=nodes,
                require_full_coverage=False,  # the models of the other shards go on
                max_connections=connecting.connections_max,
                ssl=address.tls,
                **options,
                **tls,
            )
            return Connected(client=cluster)
        case "sentinel":
            watched = _watched(address, connecting, options) | tls
            sentinels = Sentinel(  # type: ignore[no-untyped-call]
                list(address.hosts), sentinel_kwargs=watched, ssl=address.tls, **options, **tls
            )
            primary = sentinels.master_for(
                address.service, db=address.database, max_connections=connecting.connections_max
            )
            return Connected(client=primary, asked=sentinels.sentinels)
        case _:
            return Connected(client=Redis.from_pool(_pool(address, connecting, options | tls)))


def _pool(address: RedisAddress, connecting: Connecting, options: dict[str, Any]) -> ConnectionPool:
    kind: type[Connection | UnixDomainSocketConnection] = Connection
    if address.kind == "socket":
        kind, options = UnixDomainSocketConnection, {**options, "path": address.path}
        del options["socket_keepalive"]
    else:
        ((host, port),) = address.hosts
        kind, options = SSLConnection if address.tls else Connection, {**options, "host": host, "port": port}
    return ConnectionPool(
        connection_class=kind, max_connections=connecting.connections_max, db=address.database, **options
    )


def _options(address: RedisAddress, connecting: Connecting) -> dict[str, Any]:
    backoff = ExponentialWithJitterBackoff(base=_BACKOFF_S, cap=connecting.backoff_max_s)
    return {
        "username": address.user,
        "password": connecting.password,
        "socket_connect_timeout": connecting.connect_timeout_s,
        "socket_timeout": connecting.answer_timeout_s,
        "socket_keepalive": True,
        "health_check_interval": _HEALTH_CHECK_S,
        "retry": _Retry(backoff, connecting.tries),
        "retry_on_error": _LOST,
        "protocol": 2,  # answers of scripts as they are
        "client_name": "driftline",
    }


def _watched(address: RedisAddress, connecting: Connecting, options: dict[str, Any]) -> dict[str, Any]:
    """Options of connections to Sentinels, of which another one is asked where one does not answer."""
    own = {"username": None, "password": connecting.sentinel_password, "retry": Retry(_no_pause(), 0)}
    return options | own | {"retry_on_error": [], "ssl": address.tls}


def _no_pause() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(base=0, cap=0)


def _tls(connecting: Connecting) -> dict[str, Any]:
    files = {
        "ssl_ca_certs": connecting.ca_file,
        "ssl_certfile": connecting.certificate_file,
        "ssl_keyfile": connecting.key_file,
    }
    for path in files.values():
        if path is not None:
            try:
                path.read_bytes()
            except OSError as error:
                raise StoreUnavailableError(f"TLS: {path} cannot be read ({error.strerror})") from error
    return {name: str(path) for name, path in files.items() if path is not None}
