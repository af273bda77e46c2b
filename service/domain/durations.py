"""Durations and time zones as people write them."""

import re
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

from service.errors import DeclarationError

__all__ = ["Duration", "ZoneName", "format_duration", "parse_duration_s", "zone_of"]

_UNITS_S: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}  # longest first
_DURATION: Final = re.compile(r"([0-9]{1,10})([smhd])")
_DURATION_MAX_S: Final = 36_525 * 86_400  # a century; what is longer is a slip of the unit


def parse_duration_s(text: str) -> int:
    """Seconds of a duration such as `30s`, `5m`, `1h`, `7d`.

    Raises
    ------
    DeclarationError
        Another form, zero, or more than a century. There are no months: they differ in length.
    """
    match = _DURATION.fullmatch(text)
    duration_s = int(match[1]) * _UNITS_S[match[2]] if match else 0
    if not 0 < duration_s <= _DURATION_MAX_S:
        raise DeclarationError(f"{text!r} is not a duration; wanted a number and a unit, such as 30s, 5m, 1h, 1d, 7d")
    return duration_s


def format_duration(duration_s: int) -> str:
    """Duration in the largest unit that divides it: what `parse_duration_s` reads."""
    unit = next(unit for unit, unit_s in _UNITS_S.items() if duration_s % unit_s == 0)
    return f"{duration_s // _UNITS_S[unit]}{unit}"


def zone_of(name: str) -> ZoneInfo:
    """Time zone of an IANA name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise DeclarationError("time_zone: wanted an IANA name such as 'Europe/Paris'") from error


def _duration(text: str) -> str:
    try:
        parse_duration_s(text)
    except DeclarationError as error:
        raise ValueError("wanted a duration such as 30s, 5m, 1h, 1d, 7d") from error
    return text


def _zone(name: str) -> str:
    try:
        zone_of(name)
    except DeclarationError as error:
        raise ValueError("wanted an IANA name such as 'Europe/Paris'") from error
    return name


Duration = Annotated[str, AfterValidator(_duration)]
"""A duration in a document, such as `5m`."""

ZoneName = Annotated[str, AfterValidator(_zone)]
"""A time zone in a document, by its IANA name."""
