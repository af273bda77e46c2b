"""Stores by their settings: the only place that names adapters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from detectors.learning import Sketch, merged
from service.clock import SystemClock
from service.domain.durations import parse_duration_s
from service.domain.targets import SecretReference, resolve
from service.ports import Clock, Store
from service.settings import StoreSettings
from service.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from service.storage.redis import Connecting

__all__ = ["connecting_of", "merge_sketches", "open_store"]

_PASSWORD_VARIABLE: Final = "DRIFTLINE_STORE_PASSWORD"  # noqa: S105 - its name
_SENTINEL_PASSWORD_VARIABLE: Final = "DRIFTLINE_STORE_SENTINEL_PASSWORD"  # noqa: S105 - its name


async def open_store(settings: StoreSettings, environment: Mapping[str, str], clock: Clock | None = None) -> Store:
    """Open the store that the settings name; a Redis need not be there yet, and is connected to when it is first used.

    Raises
    ------
    StoreUnavailableError
    DeclarationError
        A file with a password cannot be read.
    """
    if settings.url is None:
        return await SqliteStore.open(
            settings.database,
            clock or SystemClock(),
            merge_sketches=merge_sketches,
            durability=settings.durability,
        )
    from service.storage.redis import RedisStore  # noqa: PLC0415 - a tenth of a second that most need not spend

    return RedisStore.at(
        settings.url, clock, connecting=connecting_of(settings, environment), merge_sketches=merge_sketches
    )


def connecting_of(settings: StoreSettings, environment: Mapping[str, str]) -> "Connecting":
    """What an address of a Redis does not say."""
    from service.storage.redis.connecting import Connecting  # noqa: PLC0415 - imports redis-py

    return Connecting(
        password=_password(settings.password_file, _PASSWORD_VARIABLE, environment),
        sentinel_password=_password(settings.sentinel_password_file, _SENTINEL_PASSWORD_VARIABLE, environment),
        ca_file=settings.tls_ca_file,
        certificate_file=settings.tls_certificate_file,
        key_file=settings.tls_key_file,
        connections_max=settings.connections_max,
        connect_timeout_s=parse_duration_s(settings.connect_timeout),
        answer_timeout_s=parse_duration_s(settings.answer_timeout),
        call_timeout_s=parse_duration_s(settings.call_timeout),
        tries=settings.tries,
        replicas_acknowledge=settings.replicas_acknowledge,
    )


def _password(path: Path | None, variable: str, environment: Mapping[str, str]) -> str | None:
    """The environment wins over the file."""
    if environment.get(variable):
        return environment[variable]
    return None if path is None else resolve(SecretReference(file=str(path)), environment)


def merge_sketches(sketches: Sequence[bytes]) -> bytes:
    """One sketch of several, each as bytes."""
    return merged([Sketch.from_bytes(sketch) for sketch in sketches]).to_bytes()
