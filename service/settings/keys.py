"""API keys: made of chance, kept by their hash, compared in constant time. Pure.

A key is 256 bits of chance, so that a plain SHA-256 of it tells nothing: the slow hashes that passwords need would only slow
down every request.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, Literal

from service.settings.documents import KeySettings, Scope

__all__ = ["KEY_BYTES", "KeyRing", "generate_key", "hash_key", "presented_key"]

KEY_BYTES: Final = 32
_PREFIX: Final = "dk_"  # so that scanners for leaked secrets can know one


def generate_key(chance: bytes) -> str:
    """Key made of `KEY_BYTES` random bytes."""
    if len(chance) != KEY_BYTES:
        raise ValueError(f"wanted {KEY_BYTES} random bytes")
    return _PREFIX + chance.hex()


def hash_key(key: str) -> str:
    """What stands in the configuration for a key."""
    return "sha256:" + hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def presented_key(authorization: str | None, x_api_key: str | None) -> str | None:
    """Key of a request: `Authorization: Bearer KEY`, else `X-API-Key: KEY`."""
    scheme, _, key = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return (x_api_key or "").strip() or None


class KeyRing:
    """The keys that are known.

    Parameters
    ----------
    keys : sequence of KeySettings
    anonymous : bool
        Whether everybody may do everything: `auth: none`, or a listener on loopback without keys.
    """

    def __init__(self, keys: Sequence[KeySettings], *, anonymous: bool = False) -> None:
        self.anonymous = anonymous
        self._keys = [(key.hash.encode(), key) for key in keys]

    def allowed(self, presented: str | None, scope: Scope, model: str | None) -> Literal["ok", "unknown", "forbidden"]:
        """Whether a key may do something; `model` None is what concerns no one model, or all of them.

        A key that is bound to models may not do what concerns them all. However many keys there are and whichever is
        presented, all are compared.
        """
        if self.anonymous:
            return "ok"
        key = self._known(presented)
        if key is None:
            return "unknown"
        bound_elsewhere = key.models is not None and model not in key.models
        return "forbidden" if scope not in key.scopes or bound_elsewhere else "ok"

    def scoped(self, presented: str | None, scope: Scope) -> Literal["ok", "unknown", "forbidden"]:
        """Whether a key may do something with any model at all, be it there or not."""
        if self.anonymous:
            return "ok"
        key = self._known(presented)
        if key is None:
            return "unknown"
        return "ok" if scope in key.scopes else "forbidden"

    def _known(self, presented: str | None) -> KeySettings | None:
        hashed = hash_key(presented or "").encode()
        known = None
        for known_hash, key in self._keys:
            if hmac.compare_digest(known_hash, hashed):
                known = key
        return known if presented else None
