"""The shipped log as it would have come in: training year as one file, production year week by week, and a fault to inject."""

import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import files
from typing import Final

import yaml

__all__ = ["BROKEN_FROM", "COLUMN_BROKEN", "TRAINED_YEAR", "Week", "columns_declared", "training_csv", "weeks"]

TRAINED_YEAR, _LIVE_YEAR = "2011", "2012"
COLUMN_BROKEN: Final = "humidity"
BROKEN_FROM: Final = "2012-09-01"
_STUCK_AT: Final = "0.0"
"""What the real sensor reported for 22 hours on 10 March 2011."""

_Row = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """One week of traffic.

    Parameters
    ----------
    monday : date
    rows : int
    sound, broken : bytes
        The rows as CSV bodies: as they are, and with the injected fault.
    """

    monday: date
    rows: int
    sound: bytes
    broken: bytes


def columns_declared() -> Mapping[str, object]:
    """Contents of the shipped columns.yaml."""
    declared: Mapping[str, object] = yaml.safe_load(
        (files("service.demo") / "columns.yaml").read_text(encoding="utf-8")
    )
    return declared


def training_csv() -> bytes:
    """The training year as a CSV file."""
    return _body([row for row in _log() if row["timestamp"].startswith(TRAINED_YEAR)])


def weeks() -> Iterator[Week]:
    """The production year, week by week from Monday to Sunday, in the order of time."""
    by_monday: dict[date, list[_Row]] = {}
    for row in _log():
        if row["timestamp"].startswith(_LIVE_YEAR):
            day = date.fromisoformat(row["timestamp"][:10])
            by_monday.setdefault(day - timedelta(days=day.weekday()), []).append(row)
    for monday, rows in sorted(by_monday.items()):
        broken = [row | {COLUMN_BROKEN: _STUCK_AT} if row["timestamp"] >= BROKEN_FROM else row for row in rows]
        yield Week(monday=monday, rows=len(rows), sound=_body(rows), broken=_body(broken))


def _log() -> list[_Row]:
    compressed = (files("service.demo") / "bike_hourly.csv.gz").read_bytes()
    return list(csv.DictReader(io.StringIO(gzip.decompress(compressed).decode())))


def _body(rows: Sequence[_Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
