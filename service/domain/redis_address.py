"""Where a Redis is: one server, a socket, a primary that Sentinels know, or a cluster. Pure.

======================================================  ==========================================
address                                                 what is there
======================================================  ==========================================
``redis://USER@HOST:PORT/NUMBER``                       one server; ``rediss://`` with TLS
``unix:///PATH?db=NUMBER``                              one server, by a socket of this machine
``redis+sentinel://USER@HOST:PORT,HOST:PORT/NAME/N``    the primary that Sentinels call NAME
``redis+cluster://USER@HOST:PORT,HOST:PORT``            a cluster, of which some nodes are named
======================================================  ==========================================

The last two are with TLS as ``rediss+...``. Passwords never stand in an address: it is shown, logged and written into files.
"""

from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["RedisAddress", "RedisKind", "redis_address"]

RedisKind = Literal["server", "socket", "sentinel", "cluster"]

_KINDS: Final[dict[str, RedisKind]] = {
    "redis": "server",
    "rediss": "server",
    "unix": "socket",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
_PORTS: Final[dict[RedisKind, int]] = {"server": 6379, "sentinel": 26379, "cluster": 6379}
_SERVICE_MAX: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """An address, taken apart.

    Parameters
    ----------
    kind : {"server", "socket", "sentinel", "cluster"}
    hosts : tuple of (str, int)
        Host and port of the server, of Sentinels, or of nodes of a cluster.
    path : str
        Of a socket.
    service : str
        What Sentinels call the primary.
    user : str or None
    database : int
    tls : bool
    """

    kind: RedisKind
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    user: str | None = None
    database: int = 0
    tls: bool = False


def redis_address(text: str) -> RedisAddress:
    """Take an address apart.

    Raises
    ------
    ValueError
        Says what was wanted, and never what was there: it may be a password.
    """
    scheme, colon, rest = text.partition("://")
    kind = _KINDS.get(scheme)
    if not colon or kind is None:
        raise ValueError("wanted an address that begins with " + ", ".join(f"{name}://" for name in _KINDS))
    place, *fragment = rest.split("#", 1)
    place, *query = place.split("?", 1)
    place, *path = place.split("/", 1)
    user, _, hosts_text = place.rpartition("@")
    if ":" in user:
        raise ValueError("no password stands in an address: DRIFTLINE_STORE_PASSWORD has it, or store.password_file")
    if fragment:
        raise ValueError("nothing may stand behind #")
    if query and kind != "socket":
        raise ValueError("nothing may stand behind ?: there are settings beside the address")
    whose = unquote(user) or None
    tls = scheme.startswith("rediss")
    if kind == "socket":
        database = _database_of(_asked_of("".join(query)))
        return RedisAddress(kind=kind, path=_path_of(hosts_text, "".join(path)), user=whose, database=database)
    hosts = _hosts_of(hosts_text, kind)
    parts = [part for part in "".join(path).split("/") if part]
    if kind == "sentinel":
        if not parts or len(parts) > 2 or len(parts[0]) > _SERVICE_MAX:  # noqa: PLR2004 - the name, the number
            raise ValueError(
                "wanted the name by which the Sentinels know the primary: redis+sentinel://HOST:PORT/NAME/0"
            )
        service, *parts = parts
        database = _database_of(parts)
        return RedisAddress(kind=kind, hosts=hosts, service=unquote(service), user=whose, database=database, tls=tls)
    database = _database_of(parts)
    if kind == "cluster" and database:
        raise ValueError("a cluster has the database 0 and no other")
    return RedisAddress(kind=kind, hosts=hosts, user=whose, database=database, tls=tls)


def _hosts_of(text: str, kind: RedisKind) -> tuple[tuple[str, int], ...]:
    names = text.split(",")
    if len(names) > 1 and kind == "server":
        raise ValueError("wanted one host; several have redis+sentinel:// and redis+cluster://")
    return tuple(_host_of(name, _PORTS[kind]) for name in names)


def _host_of(text: str, port_default: int) -> tuple[str, int]:
    wanted = "wanted hosts and ports from 1 to 65535, such as redis-1:6379"
    try:
        found = urlsplit(f"//{text}")
        host, port = found.hostname, found.port
    except ValueError:
        raise ValueError(wanted) from None
    if not host or port == 0 or found.netloc != text or any(letter.isspace() for letter in host):
        raise ValueError(wanted)
    return host, port_default if port is None else port


def _path_of(host: str, path: str) -> str:
    if host or not path:
        raise ValueError("wanted the path of a socket behind three slashes: unix:///run/redis.sock")
    return f"/{unquote(path)}"


def _asked_of(query: str) -> list[str]:
    asked = parse_qsl(query, keep_blank_values=True)
    if any(name != "db" for name, _ in asked):
        raise ValueError("behind ? may stand db=NUMBER and nothing else")
    return [number for _, number in asked]


def _database_of(parts: list[str]) -> int:
    if not parts:
        return 0
    if len(parts) > 1 or not (parts[0].isascii() and parts[0].isdecimal() and len(parts[0]) <= 5):  # noqa: PLR2004 - digits
        raise ValueError("wanted the number of a database, such as /0 behind the host")
    return int(parts[0])
