"""Targets of webhooks: who is told, how, and with which secrets.

Targets are configured by an administrator only, in the YAML file. Secrets never stand there: a target names an environment
variable or a file, and `resolve` reads it once, at the start.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from service.domain.durations import Duration, parse_duration_s
from service.errors import DeclarationError

__all__ = ["NOTICE_KINDS", "NoticeKind", "SecretReference", "TargetConfiguration", "resolve"]

NoticeKind = Literal[
    "drift.firing", "drift.escalated", "drift.resolved", "retrain", "silence", "resumed", "budget.exceeded", "test"
]
NOTICE_KINDS: Final[tuple[NoticeKind, ...]] = (
    "drift.firing",
    "drift.escalated",
    "drift.resolved",
    "retrain",
    "silence",
    "resumed",
    "budget.exceeded",
    "test",
)

_TIMEOUT_MAX_S: Final = 120  # a delivery is claimed for longer than that; a receiver that needs more should answer 202
_SECRET_BYTES_MAX: Final = 16_384  # tokens of identity providers have up to a few kB
_URL_MAX: Final = 2_048
_OWN_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?")


class _Document(BaseModel):
    # An input may hold what should have been a reference to a secret: errors name the path, never what stands there.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SecretReference(_Document):
    """Where a secret is: `{env: NAME}` or `{file: PATH}`."""

    env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$")] | None = None
    file: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("wanted either env or file")
        return self


def _url(url: str | SecretReference | None) -> str | SecretReference | None:
    if isinstance(url, str):
        _check_url(url)
    return url


def _check_url(text: str) -> None:
    try:
        url = urlsplit(text)
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or len(text) > _URL_MAX or any(not "!" <= character <= "~" for character in text):
        raise ValueError("wanted an http or https address")
    if "@" in url.netloc:
        raise ValueError("wanted an address without user and password: name secrets in `token`, or the whole as `url`")
    if url.fragment:
        raise ValueError("wanted an address without a fragment")


class TargetConfiguration(_Document):
    """One target."""

    preset: Literal["generic", "github"] = Field(default="generic", description="kind of the receiver")
    url: Annotated[str | SecretReference | None, AfterValidator(_url)] = Field(
        default=None, description="where to; for github the base of its API (default https://api.github.com)"
    )
    repository: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,99}/[A-Za-z0-9._-]{0,99}[A-Za-z0-9_-]$")]
        | None
    ) = Field(default=None, description="github: owner/repo")
    event_type: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")] | None = Field(
        default=None,
        description="github: event type of retrain notices (default driftline.retrain); all others have `driftline.` "
        "and their kind, so that only a retrain notice starts a retraining",
    )
    format: Literal["plain", "cloudevents"] = Field(
        default="plain", description="cloudevents: the notice in an envelope"
    )
    secrets: tuple[SecretReference, ...] = Field(
        default=(), max_length=2, description="signing secrets (whsec_...); two while one replaces the other"
    )
    token: SecretReference | None = Field(default=None, description="sent as Authorization: Bearer")
    headers: dict[str, str] = Field(default_factory=dict, max_length=32, description="further headers; no secrets")
    timeout: Duration = Field(default="15s", description="of an attempt, the answer included; at most 120s")
    retry_for: Duration = Field(default="3d", description="a notice that was not taken for so long is dead")
    concurrency: int = Field(default=4, ge=1, le=64, description="attempts at a time")
    allow_private: bool = Field(default=False, description="loopback and private addresses may be called")
    kinds: tuple[NoticeKind, ...] | None = Field(
        default=None, description="only these kinds of notices; all by default"
    )

    @model_validator(mode="after")
    def _fits_its_preset(self) -> Self:
        github = self.preset == "github"
        if github and (self.repository is None or self.token is None):
            raise ValueError("preset github: wanted repository and token")
        if github and self.format != "plain":
            raise ValueError("preset github: the format is GitHub's own")
        if not github and (self.repository is not None or self.event_type is not None):
            raise ValueError("repository and event_type are for preset github")
        if not github and self.url is None:
            raise ValueError("url is missing")
        if parse_duration_s(self.timeout) > _TIMEOUT_MAX_S:
            raise ValueError(f"timeout: wanted at most {_TIMEOUT_MAX_S}s")
        return self

    @model_validator(mode="after")
    def _tokens_travel_encrypted(self) -> Self:
        plain = isinstance(self.url, str) and urlsplit(self.url).scheme == "http"
        if plain and self.token is not None and not self.allow_private:
            raise ValueError("a token is not sent over plain http: wanted https, or allow_private inside a cluster")
        return self

    @model_validator(mode="after")
    def _headers_are_free(self) -> Self:
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise ValueError("headers: wanted names and values of visible ASCII characters")
            if name.lower() in _OWN_HEADERS:
                raise ValueError(f"headers: {name.lower()} is not free to set")
        return self

    def wants(self, kind: NoticeKind) -> bool:
        """Whether notices of a kind go there; a test always does."""
        return kind == "test" or self.kinds is None or kind in self.kinds


def resolve(secret: SecretReference, environment: Mapping[str, str]) -> str:
    """Value of a secret, without white space around it.

    Raises
    ------
    DeclarationError
        The variable or file is missing, empty, unreadable or too large. The text names it, never what it holds.
    """
    if secret.env is not None:
        value, place = environment.get(secret.env), f"environment variable {secret.env}"
        if value is None:
            raise DeclarationError(f"secret: {place} is not set")
    else:
        path, place = Path(str(secret.file)), f"file {secret.file}"
        try:
            with path.open("rb") as file:
                value = file.read(_SECRET_BYTES_MAX + 1).decode()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise DeclarationError(f"secret: {place} cannot be read: {reason}") from None
    value = value.strip()
    if not value:
        raise DeclarationError(f"secret: {place} is empty")
    if len(value) > _SECRET_BYTES_MAX or not value.isascii() or not value.isprintable():
        raise DeclarationError(f"secret: {place} holds no secret: wanted one line of up to 16 kB of ASCII")
    return value
