"""Times that callers of the API write."""

from typing import Final

from service.api.problem import Problem
from service.domain.durations import zone_of
from service.errors import DeclarationError
from service.registry.models import LiveModel
from service.windows.times import parse_instant
from service.windows.zones import MAX_US, MIN_US, US_PER_DAY

__all__ = ["instant_of", "span_of"]

_CENTURY_US: Final = 36_525 * US_PER_DAY
"""The longest duration there is: within it of the first and last instant a window may have no beginning, or no end."""


def instant_of(field: str, text: str, model: LiveModel) -> int:
    """Microseconds since the epoch.

    Raises
    ------
    Problem
        422.
    """
    try:
        time_us = parse_instant(text, zone_of(model.configuration.time_zone))
    except DeclarationError:
        raise _not_a_time(field) from None
    if not MIN_US + _CENTURY_US <= time_us <= MAX_US - _CENTURY_US:
        raise _not_a_time(field)
    return time_us


def span_of(since: str, until: str, model: LiveModel) -> tuple[int, int]:
    """Begin and end of a span.

    Raises
    ------
    Problem
        422.
    """
    since_us, until_us = instant_of("since", since, model), instant_of("until", until, model)
    if since_us >= until_us:
        reason = "wanted a time before until"
        raise Problem(422, f"since: {reason}", [{"field": "since", "reason": reason}])
    return since_us, until_us


def _not_a_time(field: str) -> Problem:
    reason = "wanted a time such as 2012-03-05T06:00:00Z, 2012-03-05 or epoch seconds"
    return Problem(422, f"{field}: {reason}", [{"field": field, "reason": reason}])
