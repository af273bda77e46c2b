"""The settings: what `driftline.yaml` may hold, with defaults, limits and meanings.

Secrets never stand there: keys by their hash, secrets of targets by the name of a variable or a file. Sizes are in bytes,
as a number or with a unit (`64MiB`); durations are as everywhere (`30s`, `24h`, `7d`).
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
)

from service.domain.configuration import ModelConfiguration, Name
from service.domain.durations import Duration
from service.domain.redis_address import redis_address
from service.domain.targets import TargetConfiguration

__all__ = [
    "AuthSettings",
    "KeySettings",
    "LimitSettings",
    "ModelSettings",
    "Scope",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "VersionSettings",
]

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

_CENTRES: Final = ("http://", "https://")

Scope = Literal["ingest", "read", "admin", "metrics"]

_Size = Annotated[ByteSize, Field(ge=1), WithJsonSchema({"type": ["integer", "string"], "examples": ["64MiB"]})]
_Count = Annotated[int, Field(ge=1, le=10**12)]
_Reference = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
_Hash = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _address(text: str | None) -> str | None:
    if text is not None:
        host, colon, port = text.rpartition(":")
        if not (host and colon and port.isascii() and port.isdecimal() and int(port) <= 65_535):  # noqa: PLR2004 - TCP
            raise ValueError("wanted a host and a port, such as 0.0.0.0:9090")
    return text


class ServerSettings(_Document):
    """Where the service listens."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address of the API and the page")
    port: int = Field(default=8080, ge=0, le=65_535, description="0 takes any that is free")
    ops_address: Annotated[str | None, AfterValidator(_address)] = Field(
        default=None, description="host:port of a listener of its own for health and metrics"
    )
    readiness: Literal["service", "sidecar"] = Field(
        default="service", description="sidecar stays ready while the store fails: its pod must keep serving the model"
    )
    root_path: Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-])?$")] = Field(
        default="", description="path under which a proxy publishes the service, such as /driftline"
    )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"


def _store(text: str | None) -> str | None:
    if text is None:
        return text
    if text.startswith(_CENTRES):
        _check_centre(text)
    else:
        redis_address(text)
    return text


def _check_centre(text: str) -> None:
    try:
        url = urlsplit(text)
        usable = bool(url.hostname) and url.port != 0 and "@" not in url.netloc and not url.query and not url.fragment
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("wanted the http(s)://HOST:PORT of a central Driftline, without a user and a password")


class StoreSettings(_Document):
    """Where counts and decisions are kept."""

    path: Path = Field(
        default=Path("driftline.db"), description="of the database, or a directory in which it is driftline.db"
    )
    durability: Literal["process", "power"] = Field(
        default="process", description="what an acknowledged row survives: a killed process, or a power cut too"
    )
    url: Annotated[str | None, AfterValidator(_store)] = Field(
        default=None,
        description="of a Redis or Valkey that replicas share, in the place of the database: "
        "redis://USER@HOST:PORT/NUMBER, unix:///PATH, redis+sentinel://HOST:PORT,HOST:PORT/NAME, "
        "redis+cluster://HOST:PORT,HOST:PORT; rediss... with TLS. Or of a central Driftline, http(s)://HOST:PORT, that this "
        "one sends its counts to as a sidecar; the API key is in DRIFTLINE_STORE_KEY",
    )
    password_file: Path | None = Field(
        default=None, description="holds the password of a Redis, which may be in DRIFTLINE_STORE_PASSWORD instead"
    )
    sentinel_password_file: Path | None = Field(
        default=None, description="holds that of its Sentinels; or DRIFTLINE_STORE_SENTINEL_PASSWORD"
    )
    tls_ca_file: Path | None = Field(
        default=None, description="certificates of who is trusted, instead of the authorities that this machine trusts"
    )
    tls_certificate_file: Path | None = Field(default=None, description="certificate that a Redis is shown, if it asks")
    tls_key_file: Path | None = Field(default=None, description="its key, unless that is in the same file")
    connections_max: int = Field(default=16, ge=1, le=1_000, description="calls of a Redis at a time; more wait")
    connect_timeout: Duration = Field(default="1s", description="for a connection to a Redis")
    answer_timeout: Duration = Field(default="2s", description="for an answer of a Redis")
    call_timeout: Duration = Field(
        default="5s", description="for all that is tried again, with growing pauses between; then senders hear 503"
    )
    tries: int = Field(default=5, ge=0, le=100, description="times that a connection is made anew for a call")
    replicas_acknowledge: int = Field(
        default=0,
        ge=0,
        le=10,
        description="replicas of a Redis that must have a write before it is acknowledged (WAIT)",
    )

    @property
    def is_upstream(self) -> bool:
        """Whether the store is a central Driftline, and this a sidecar."""
        return self.url is not None and self.url.startswith("http")

    @property
    def place(self) -> str:
        """What counts are kept in, for people."""
        return self.url or str(self.database)

    @property
    def database(self) -> Path:
        """Path of the database file."""
        return self.path / "driftline.db" if self.path.is_dir() else self.path


class KeySettings(_Document):
    """An API key, by its hash; `driftline config key` makes one."""

    name: Name
    hash: _Hash
    scopes: Annotated[frozenset[Scope], Field(min_length=1)] = Field(description="what it may do; none implies another")
    models: frozenset[Name] | None = Field(default=None, description="the only models that it is for; all by default")


class AuthSettings(_Document):
    """Who may do what. Without keys the API listens on loopback only, unless `auth: none` is said."""

    keys: tuple[KeySettings, ...] = Field(default=(), max_length=1_000)


def _auth_tag(value: Any) -> str:
    return "none" if isinstance(value, str) else "keys"


_Auth = Annotated[
    Annotated[AuthSettings, Tag("keys")] | Annotated[Literal["none"], Tag("none")], Discriminator(_auth_tag)
]


class LimitSettings(_Document):
    """What the service takes, holds and keeps at most."""

    body_bytes_max: _Size = Field(
        default=ByteSize(64 * MIB), description="request body as it is sent; streams are exempt"
    )
    inflated_bytes_max: _Size = Field(default=ByteSize(64 * MIB), description="request body after decompression")
    json_bytes_max: _Size = Field(default=ByteSize(MIB), description="JSON body; NDJSON and Arrow take any length")
    json_rows_max: _Count = Field(default=1_000, description="rows of a JSON body")
    upload_bytes_max: _Size = Field(default=ByteSize(2 * GIB), description="training data uploaded for a reference")
    parquet_rows_max: _Count = Field(default=1_000_000, description="rows of a Parquet body, which may be few bytes")
    columns_max: _Count = Field(default=4_096, description="columns that a model without a reference learns")
    models_max: _Count = Field(default=1_000, description="models")
    versions_max: _Count = Field(default=100, description="versions of a model")
    unknown_models: Literal["refuse", "learn"] = Field(
        default="refuse", description="learn: rows for an unknown model make one, whose reference is learned from them"
    )
    buffer_rows_max: _Count = Field(default=200_000, description="rows that wait for a commit; beyond: 429")
    buffer_bytes_max: _Size = Field(
        default=ByteSize(256 * MIB), description="bytes that wait for a commit; beyond: 429"
    )
    idempotency_retention: Duration = Field(default="24h", description="a repeated request is recognised for so long")
    idempotency_max: _Count = Field(
        default=1_000_000, description="requests of a model that are remembered; and, apart from them, sidecars"
    )
    request_timeout: Duration = Field(default="60s", description="for a body to be sent; streams are exempt")
    silence_timeout: Duration = Field(default="30s", description="without a byte of a body that has begun")
    keep_alive_timeout: Duration = Field(
        default="65s", description="of an idle connection; longer than load balancers'"
    )
    stop_timeout: Duration = Field(default="20s", description="to finish what was begun when the service is stopped")
    series_max: _Count = Field(default=200_000, description="series of models in /metrics")
    rows_exposed_min: int = Field(
        default=10, ge=0, description="no distribution of fewer rows is shown; 0 turns it off"
    )
    evaluations_retention: Duration = Field(
        default="400d", description="evaluations, closed episodes and ended deliveries are kept so long"
    )


def _reference(text: str | None) -> str | None:
    if text is None or "://" not in text:
        return text
    try:
        url = urlsplit(text)
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and "@" not in url.netloc
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("wanted a path, or an http or https address without user and password")
    return text


class VersionSettings(_Document):
    """A version of a model, and its reference."""

    reference: Annotated[_Reference | None, AfterValidator(_reference)] = Field(
        default=None, description="path or http(s) address of a reference file; without one the version learns"
    )
    id: _Hash | None = Field(default=None, description="id that the reference must have")

    @property
    def is_url(self) -> bool:
        """Whether the reference is fetched over HTTP."""
        return self.reference is not None and "://" in self.reference


class ModelSettings(ModelConfiguration):
    """Configuration of a model, and its versions."""

    versions: dict[Name, VersionSettings] = Field(default_factory=dict)

    @property
    def configuration(self) -> ModelConfiguration:
        """The configuration alone, as the store keeps it."""
        return ModelConfiguration(**{name: getattr(self, name) for name in ModelConfiguration.model_fields})


class Settings(_Document):
    """The whole file."""

    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    auth: _Auth = AuthSettings()
    limits: LimitSettings = LimitSettings()
    targets: dict[Name, TargetConfiguration] = Field(default_factory=dict)
    models: dict[Name, ModelSettings] = Field(default_factory=dict)
