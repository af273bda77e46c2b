"""Who may do what."""

from collections.abc import Mapping
from typing import Literal, Protocol

from service.api.problem import Problem

__all__ = ["Access", "Scope", "authorize", "authorize_any", "presented_key", "unknown_key"]

Scope = Literal["ingest", "read", "admin", "metrics"]


class Access(Protocol):
    """The keys that are known."""

    def allowed(self, presented: str | None, scope: Scope, model: str | None) -> Literal["ok", "unknown", "forbidden"]:
        """Whether a key opens this; None is a request without a key."""
        ...

    def scoped(self, presented: str | None, scope: Scope) -> Literal["ok", "unknown", "forbidden"]:
        """Whether a key opens this for any model at all, be it there or not."""
        ...


def presented_key(headers: Mapping[bytes, bytes]) -> str | None:
    """The key of a request: `Authorization: Bearer ...` or `X-API-Key`."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        kind, _, key = authorization.partition(b" ")
        if kind.lower() == b"bearer":
            return key.strip().decode("latin-1")
    key_only = headers.get(b"x-api-key")
    return None if key_only is None else key_only.decode("latin-1")


def unknown_key(access: Access, key: str | None) -> None:
    """Return if a request has a key that is known, whatever it opens.

    Raises
    ------
    Problem
        401.
    """
    if access.allowed(key, "read", None) == "unknown":
        raise Problem(401, "no or unknown API key", headers={"WWW-Authenticate": "Bearer"})


def authorize(access: Access, key: str | None, scope: Scope, model: str | None) -> None:
    """Return if a request is allowed.

    Raises
    ------
    Problem
        401 without a known key, 403 with one that does not open this.
    """
    _require(access.allowed(key, scope, model), scope)


def authorize_any(access: Access, key: str | None, scope: Scope) -> None:
    """Return if a request is allowed for some model; raises what `authorize` does."""
    _require(access.scoped(key, scope), scope)


def _require(said: Literal["ok", "unknown", "forbidden"], scope: Scope) -> None:
    match said:
        case "unknown":
            raise Problem(401, "no or unknown API key", headers={"WWW-Authenticate": "Bearer"})
        case "forbidden":
            raise Problem(403, f"the API key does not have scope '{scope}' for this")
        case "ok":
            pass
