"""Targets with their secrets resolved: what a delivery needs to know. Nothing here is ever printed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from service.domain.durations import parse_duration_s
from service.domain.targets import SecretReference, TargetConfiguration, resolve
from service.errors import DeclarationError
from service.webhooks.presets import PRESETS, Preset
from service.webhooks.signature import decode_secret

__all__ = ["Target", "resolve_target", "resolve_targets"]

_GITHUB_URL: Final = "https://api.github.com"
_US_PER_S: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One target.

    Parameters
    ----------
    name : str
    preset : Preset
    url : str
        May itself be a secret.
    repository, event_type : str or None
    keys : tuple of bytes
        That sign.
    token : str or None
    headers : mapping of str to str
    timeout_s : float
        Of a whole attempt, the name's lookup and the answer included.
    retry_for_us : int
    concurrency : int
    allow_private : bool
    """

    name: str
    preset: Preset = field(repr=False)
    url: str = field(repr=False)
    repository: str | None = None
    event_type: str | None = None
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float
    retry_for_us: int
    concurrency: int
    allow_private: bool


def resolve_targets(
    configurations: Mapping[str, TargetConfiguration], environment: Mapping[str, str]
) -> dict[str, Target]:
    """All targets by name."""
    return {name: resolve_target(name, found, environment) for name, found in configurations.items()}


def resolve_target(name: str, configuration: TargetConfiguration, environment: Mapping[str, str]) -> Target:
    """Target of its configuration.

    Raises
    ------
    DeclarationError
        A secret is missing or has another form; the text names target and secret, never a value.
    """
    try:
        url = configuration.url
        if isinstance(url, SecretReference):
            # What was read has to pass what an address in the file has to.
            url = resolve(url, environment)
            configuration = TargetConfiguration.model_validate(configuration.model_dump() | {"url": url})
        return Target(
            name=name,
            preset=PRESETS[f"{configuration.preset}.{configuration.format}"],
            url=url or _GITHUB_URL,
            repository=configuration.repository,
            event_type=configuration.event_type,
            keys=tuple(decode_secret(resolve(secret, environment)) for secret in configuration.secrets),
            token=None if configuration.token is None else resolve(configuration.token, environment),
            headers=dict(configuration.headers),
            timeout_s=parse_duration_s(configuration.timeout),
            retry_for_us=parse_duration_s(configuration.retry_for) * _US_PER_S,
            concurrency=configuration.concurrency,
            allow_private=configuration.allow_private,
        )
    except DeclarationError as error:
        raise DeclarationError(f"target {name!r}: {error}") from None
    except ValidationError as error:
        reasons = "; ".join(found["msg"].removeprefix("Value error, ") for found in error.errors(include_input=False))
        raise DeclarationError(f"target {name!r}: url: {reasons}") from None
