"""The centre's clock, from afar.

What the centre says of the time was true somewhere between the moment it was asked and the moment it was heard (RFC 5905 has
the same bounds). The guess is moved no further than into that span, and begins at its earlier end: rows that are not in the
future by a clock that is a little behind are not in the future at the centre.
"""

from collections.abc import Callable

from service.errors import StoreUnavailableError

__all__ = ["CentreClock"]


class CentreClock:
    """Guesses the centre's time.

    Parameters
    ----------
    monotonic_s : callable
        A clock of this machine that is never set.
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._ahead_us: int | None = None

    def local_us(self) -> int:
        """Time of this machine, since whenever."""
        return int(self._monotonic_s() * 1e6)

    def told(self, centre_us: int, asked_us: int, heard_us: int) -> None:
        """The centre said what its time was, between two times of this machine."""
        least_us, most_us = centre_us - heard_us, centre_us - asked_us
        self._ahead_us = least_us if self._ahead_us is None else min(max(self._ahead_us, least_us), most_us)

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC.

        Raises
        ------
        StoreUnavailableError
            The centre has not been heard of yet.
        """
        if self._ahead_us is None:
            raise StoreUnavailableError("the centre has not been reached yet")
        return self.local_us() + self._ahead_us
