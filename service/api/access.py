"""Who may do what."""

from typing import Literal, Protocol

from service.api.problem import Problem

__all__ = ["Access", "Scope", "authorize", "presented_key"]

Scope = Literal["ingest", "read", "admin", "metrics"]


class Access(Protocol):
    """The keys that are known."""

    def allowed(self, presented: str | None, scope: Scope, model: str | None) -> Literal["ok", "unknown", "forbidden"]:
        """Whether a key opens this; None is a request without a key."""
        ...


def presented_key(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The key of a request: `Authorization: Bearer ...` or `X-API-Key`."""
    for name, value in headers:
        if name == b"authorization":
            kind, _, key = value.partition(b" ")
            if kind.lower() == b"bearer":
                return key.strip().decode("latin-1")
        elif name == b"x-api-key":
            return value.decode("latin-1")
    return None


def authorize(access: Access, key: str | None, scope: Scope, model: str | None) -> None:
    """Return if a request is allowed.

    Raises
    ------
    Problem
        401 without a known key, 403 with one that does not open this.
    """
    match access.allowed(key, scope, model):
        case "unknown":
            raise Problem(401, "no or unknown API key", headers={"WWW-Authenticate": "Bearer"})
        case "forbidden":
            raise Problem(403, f"the API key does not have scope '{scope}' for this")
        case "ok":
            pass
