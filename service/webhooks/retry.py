"""What becomes of a delivery after an attempt. Pure.

Tried again is with exponential back-off and full jitter: uniform between a second and the back-off, so that deliveries which
failed together do not come back together. A receiver may ask for more patience with `Retry-After`, within bounds. What has not
been taken within the target's `retry_for` is dead; the last attempt is made when that time is over.

References
----------
.. [1] Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog (2015): full jitter.
.. [2] RFC 9110, 10.2.3 `Retry-After`.
"""

import random
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from service.ports import DeliveryState
from service.webhooks.presets import GONE
from service.webhooks.target import Target

__all__ = ["Fate", "fate_of", "parse_retry_after_us"]

_US_PER_S: Final = 1_000_000
_DELAY_FIRST_S: Final = 5.0  # Standard Webhooks suggests 5 s after the first failure
_DELAY_MIN_S: Final = 1.0
_DELAY_MAX_S: Final = 3_600.0  # a receiver that is back is called within the hour
_DOUBLINGS_MAX: Final = 32  # 2 ** 32 is beyond the largest delay; 2 ** 10,000 would overflow
_RETRY_AFTER_MAX_S: Final = 86_400  # a receiver that says a month is ill


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of it.

    Parameters
    ----------
    state : {"delivered", "pending", "dead"}
    next_attempt_us : int
        Counts only while it is pending.
    disables : bool
        That the target is to be called no more.
    """

    state: DeliveryState
    next_attempt_us: int
    disables: bool = False


def fate_of(
    target: Target,
    status: int | None,
    *,
    retry_after_us: int | None,
    attempts: int,
    created_at_us: int,
    now_us: int,
    rng: random.Random,
) -> Fate:
    """Decide on a delivery.

    Parameters
    ----------
    target : Target
    status : int or None
        Of the answer; None if there was none.
    retry_after_us : int or None
        For how long the receiver asked to be left alone.
    attempts : int
        How many there were before this one.
    created_at_us, now_us : int
    rng : random.Random
    """
    if status is not None and status in target.preset.success:
        return Fate(state="delivered", next_attempt_us=now_us)
    deadline_us = created_at_us + target.retry_for_us
    if status == GONE or status in target.preset.permanent or now_us >= deadline_us:
        return Fate(state="dead", next_attempt_us=now_us, disables=status == GONE)
    delay_us = max(_back_off_us(attempts, rng), retry_after_us or 0)
    return Fate(state="pending", next_attempt_us=min(now_us + delay_us, deadline_us))


def parse_retry_after_us(value: str | None, now_us: int) -> int | None:
    """Microseconds of a `Retry-After`, in seconds or as a date, at most a day; None if it is absent or unreadable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return min(int(text[:10]), _RETRY_AFTER_MAX_S) * _US_PER_S
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    zoned = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    until_us = int(zoned.timestamp()) * _US_PER_S
    return min(max(until_us - now_us, 0), _RETRY_AFTER_MAX_S * _US_PER_S)


def _back_off_us(attempts: int, rng: random.Random) -> int:
    longest_s = min(_DELAY_FIRST_S * 2.0 ** min(attempts, _DOUBLINGS_MAX), _DELAY_MAX_S)
    return int(rng.uniform(_DELAY_MIN_S, longest_s) * _US_PER_S)
