"""Offers of another protocol than HTTP/1.1, which a server may ignore. Pure.

References
----------
.. [1] RFC 9110, 7.8 `Upgrade`: "A server MAY ignore a received Upgrade header field".
"""

from typing import Final

__all__ = ["without_upgrade"]

_OFFERS: Final = frozenset({b"upgrade", b"http2-settings"})


def without_upgrade(data: bytes) -> bytes:
    """What begins with the head of a request, without its offer to go on in another protocol."""
    head, end, rest = data.partition(b"\r\n\r\n")
    lines = [line for line in map(_without_offer, head.split(b"\r\n")) if line is not None]
    return b"\r\n".join(lines) + end + rest


def _without_offer(line: bytes) -> bytes | None:
    name, colon, value = line.partition(b":")
    match name.lower():
        case b"upgrade" | b"http2-settings":
            return None
        case b"connection" if colon:
            options = [option.strip() for option in value.split(b",")]
            return b"connection: " + b", ".join(option for option in options if option.lower() not in _OFFERS)
        case _:
            return line
