"""The one module that asks the time."""

import time

__all__ = ["SystemClock"]


class SystemClock:
    """The clock of the machine."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        return time.time_ns() // 1_000
