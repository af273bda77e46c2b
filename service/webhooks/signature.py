"""Signatures as Standard Webhooks prescribes. Pure.

Signed is `id.timestamp.body`, the body byte for byte as it is sent, with HMAC-SHA256. The id stays the same over attempts (it
is the receiver's key for dropping repeats); the timestamp is of the attempt, because receivers refuse what is older than some
minutes. While one secret replaces another, both sign, and receivers take whichever they know.

References
----------
.. [1] Standard Webhooks, specification 1.0, "Webhook Headers" and "Signature scheme"; secrets of 24 to 64 bytes.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from service.errors import DeclarationError

__all__ = ["decode_secret", "signed_headers"]

_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = range(24, 65)


def decode_secret(text: str) -> bytes:
    """Key of a secret `whsec_<base64>`; padding may be absent.

    Raises
    ------
    DeclarationError
        Another form or length. The text does not hold the secret.
    """
    encoded = text.removeprefix(_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_PREFIX) or len(key) not in _SECRET_BYTES:
        raise DeclarationError("signing secret: wanted whsec_ and 24 to 64 bytes in base64")
    return key


def signed_headers(keys: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Headers of an attempt; without a signature if there are no keys."""
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp_s)}
    content = f"{message_id}.{timestamp_s}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys]
    if signatures:
        headers["webhook-signature"] = " ".join(f"v1,{signature}" for signature in signatures)
    return headers
