"""What Redis and its client report, as what the service says: the one border at which their errors end."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis import exceptions
from redis.asyncio.sentinel import MasterNotFoundError

from service.errors import StoreUnavailableError, UnusableStoreError

__all__ = ["TooFewReplicasError", "is_in_doubt", "translated"]

# The first that fits; the text of Redis stays behind, since it may quote what it was sent.
_REASONS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (exceptions.AuthenticationError, "Redis refuses the user or the password"),
    (exceptions.NoPermissionError, "Redis does not permit this user what the store needs"),
    (exceptions.BusyLoadingError, "Redis is still loading its data"),
    (exceptions.MaxConnectionsError, "all connections to Redis are in use"),
    (exceptions.TimeoutError, "Redis does not answer in time"),
    (MasterNotFoundError, "no Sentinel knows a primary that answers"),
    (exceptions.ConnectionError, "Redis cannot be reached"),
    (exceptions.ReadOnlyError, "this Redis is a replica, and read-only"),
    (exceptions.OutOfMemoryError, "the memory of Redis is full"),
    (exceptions.MovedError, "this Redis is part of a cluster: wanted redis+cluster://"),
    (exceptions.ClusterDownError, "the cluster of Redis is down, or has nobody for these keys"),
    (exceptions.RedisClusterException, "no node of the cluster of Redis answers, or it is none"),
    (exceptions.RedisError, "Redis refuses"),
    (TimeoutError, "Redis does not answer in time"),
    (OSError, "Redis cannot be reached"),
)

_BY_CODE: Final = {
    "OOM": "the memory of Redis is full",
    "MISCONF": "Redis cannot write to its disk",
    "READONLY": "this Redis is a replica, and read-only",
    "NOREPLICAS": "Redis has not enough replicas to write",
    "LOADING": "Redis is still loading its data",
    "BUSY": "Redis is busy with a script",
    "NOPERM": "Redis does not permit this user what the store needs",
    "ACL failure": "Redis does not permit this user what the store needs",
    "The user executing": "Redis does not permit this user what the store needs",
    "TRYAGAIN": "the cluster of Redis is moving the keys to another server",
    "TTL": "the cluster of Redis is moving the keys to another server",
    "WRONGTYPE": "a key of the store is not of its kind: something else writes to this Redis",
    "NOAUTH": "Redis wants a user and a password",
    "CLUSTERDOWN": "the cluster of Redis is down, or has nobody for these keys",
    "MOVED": "this Redis is part of a cluster: wanted redis+cluster://",
}
"""Of errors that the client does not tell apart, or that come out of a script."""

# Redis 6.2 puts where it was in the script before it.
_CODE: Final = re.compile(r"(?:^|\d: )-?(ACL failure|The user executing|[A-Z]+)\b")

_SENTINELS: Final = "Sentinels refuse the user or the password (see store.sentinel_password_file)"
_UNTRUSTED: Final = "the certificate of Redis is not trusted (see store.tls_ca_file)"
_FOR_GOOD: Final = (exceptions.AuthenticationError, exceptions.NoPermissionError, exceptions.MovedError)
"""What does not come right by waiting: a user, a password or an address, which the settings have, or the server."""


class TooFewReplicasError(StoreUnavailableError):
    """The primary has it, and may lose it."""


def is_in_doubt(error: StoreUnavailableError) -> bool:
    """Whether what was asked may have been done: no answer came, or not from all who had to."""
    lost = (exceptions.TimeoutError, exceptions.ConnectionError, OSError)  # the time-out of asyncio is one, too
    return isinstance(error, TooFewReplicasError) or isinstance(error.__cause__, lost)


@contextmanager
def translated() -> Iterator[None]:
    """Raise `StoreUnavailableError` in the place of any error of Redis, its client or the wire."""
    try:
        yield
    except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as error:
        if _untrusted(error):
            raise UnusableStoreError(_UNTRUSTED) from error
        if isinstance(error, MasterNotFoundError) and exceptions.AuthenticationError.__name__ in str(error):
            raise StoreUnavailableError(_SENTINELS) from error  # others may know a primary when they are back
        said = _of_a_node(error)
        code = _CODE.search(str(said))
        reason = next(reason for kind, reason in _REASONS if isinstance(said, kind))
        unavailable = UnusableStoreError if isinstance(said, _FOR_GOOD) else StoreUnavailableError
        raise unavailable(f"{_BY_CODE.get(code[1] if code else '', reason)} ({type(said).__name__})") from error


def _of_a_node(error: BaseException) -> BaseException:
    """What a node said, if the client of a cluster has made an error of its own of that; only what stays true is picked out."""
    said: BaseException | None = error
    while isinstance(said, exceptions.RedisClusterException):
        said = said.__cause__ or said.__context__
    return said if isinstance(said, _FOR_GOOD) else error


def _untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
