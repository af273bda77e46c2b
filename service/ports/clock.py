"""The one who asks the time."""

from typing import Protocol

__all__ = ["Clock"]


class Clock(Protocol):
    """The one who asks the time."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        ...
