"""The calibrated alarm of a reference, and what can be said of how far it is to be trusted. Pure.

The replay takes a second or a minute; what it found is kept beside the reference, with what it depends on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray
from detectors.calibration.alarm import Alarm
from detectors.calibration.past import Past
from detectors.calibration.replay import Mapper, Replay, Score, Scored, Table, replay
from detectors.calibration.seasons import SEASONS, Season
from detectors.calibration.spans import LADDER, Spans
from detectors.reference import Reference, reference_id
from service.calibration.alarms import alarms_of
from service.calibration.settings import CalibrationSettings
from service.domain import Calibration
from service.domain.durations import parse_duration_s
from service.windows.zones import US_PER_HOUR, US_PER_S, UsArray, local_of_utc

__all__ = ["SEASON_WORDS", "Calibrated", "Trust", "calibrated", "hours_of_week", "with_replay"]

SEASON_WORDS: Final[Mapping[str, str]] = {
    "none": "none; all windows are alike",
    "day_type": "workday or weekend",
    "day_of_week": "day of the week",
    "hour_of_day": "hour of the day",
    "hour_of_day_type": "hour of the day, workdays and weekends apart",
    "hour_of_week": "hour of the week",
}

_THURSDAY_H: Final = 72  # the epoch began on one; the week begins on Monday
_WINDOWS_MIN: Final = 60
_SPAN_MAX: Final = 1_000_000  # base windows from the first to the last: a century of hours; a clock was wrong beyond
_DAY_S: Final = 86_400
_WORSE: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How far the rate of false alarms is to be trusted.

    Parameters
    ----------
    status : {"verified", "calibrated", "iid", "collecting"}
    windows : int
        Base windows of the reference.
    season : str or None
    replayed_days : float or None
        Days of the reference that were replayed.
    replayed_alarms : int or None
        Alarms that the replay of the reference raised at the budget.
    advice : str or None
        What would make it better.
    """

    status: Calibration
    windows: int
    season: str | None = None
    replayed_days: float | None = None
    replayed_alarms: int | None = None
    advice: str | None = None

    @property
    def replayed_per_30d(self) -> float | None:
        """Alarms of the replay, in 30 days."""
        if self.replayed_alarms is None or not self.replayed_days:
            return None
        return self.replayed_alarms * 30 / self.replayed_days


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibrated:
    """A reference with its alarm.

    Parameters
    ----------
    alarm : Alarm
    reference : Reference
    settings : CalibrationSettings
    zone : ZoneInfo
    base_s : int
    """

    alarm: Alarm
    reference: Reference
    settings: CalibrationSettings
    zone: ZoneInfo
    base_s: int

    @cached_property
    def spans(self) -> Spans:
        """Judges what is no whole number of base windows, or none of the scales."""
        return Spans(_past(self.reference, self.settings, self.zone, self.base_s, LADDER), len(self.reference.columns))

    def trust(self, budget: float) -> Trust:
        """How far its rate of false alarms is to be trusted, at a budget."""
        windows = int(self.alarm.past.places.size)
        found = self.alarm.replay
        known = Trust(status="calibrated", windows=windows, season=self.alarm.past.season)
        if found is None:
            return replace(known, advice="give the reference more days: it is too short for parts of it to be held out")
        known = replace(
            known,
            replayed_days=_days(found.rates, self.base_s),
            replayed_alarms=len(alarms_of(found.rates, budget, self.base_s)),
        )
        if windows < _WINDOWS_MIN:
            return replace(known, advice=f"give the reference at least {_WINDOWS_MIN} base windows; it has {windows}")
        assert known.replayed_alarms is not None  # noqa: S101 - said above
        if (known.replayed_per_30d or 0.0) > max(_WORSE * budget, budget * 30 / (known.replayed_days or 1.0)):
            return replace(
                known,
                advice=f"the replay of the reference raised {known.replayed_alarms} alarms: look whether something"
                " happened in its time, give it more weeks, or allow a larger budget",
            )
        return replace(known, status="verified")


def calibrated(
    reference: Reference,
    settings: CalibrationSettings,
    zone: ZoneInfo,
    base_s: int,
    mapper: Mapper = map,
) -> Calibrated | None:
    """The alarm of a reference; None where it has no time order, or too little of it, or other base windows.

    Parameters
    ----------
    reference : Reference
    settings : CalibrationSettings
    zone : ZoneInfo
    base_s : int
        Length of the base windows of the traffic.
    mapper : callable
        `map`, or that of a pool.
    """
    if reference.blocks is None or parse_duration_s(reference.window) != base_s or not reference.blocks.starts_s.size:
        return None
    first_s, last_s = reference.blocks.starts_s[[0, -1]].tolist()
    if last_s - first_s > _SPAN_MAX * base_s:
        return None
    past = _past(reference, settings, zone, base_s, settings.scales)
    if not past.scales:
        return None
    kept = None if reference.replay is None else _replay_of(reference.replay, reference, settings, past)
    found = kept or replay(past, effect_threshold=settings.effect_threshold, mapper=mapper)
    return Calibrated(
        alarm=Alarm(past, found, len(reference.columns)),
        reference=reference,
        settings=settings,
        zone=zone,
        base_s=base_s,
    )


def with_replay(
    reference: Reference,
    settings: CalibrationSettings,
    zone: ZoneInfo,
    on_progress: Callable[[float], None] = lambda _: None,
    mapper: Mapper = map,
) -> tuple[Reference, Calibrated | None]:
    """The reference with what its replay found, and its alarm."""

    def watched(score: Score, folds: Iterable[int]) -> Iterator[list[Scored]]:
        every = list(folds)
        for number, scored in enumerate(mapper(score, every), 1):
            on_progress(number / len(every))
            yield scored

    base_s = parse_duration_s(reference.window)
    made = calibrated(reference, settings, zone, base_s, watched)
    if made is None or made.alarm.replay is None:
        return reference, made
    document = _document_of(made.alarm.replay, reference, settings, made.alarm.past)
    return replace(reference, replay=document), made


def hours_of_week(starts_us: UsArray, zone: ZoneInfo) -> npt.NDArray[np.int64]:
    """Hour of the week in which each time lies, by the wall clock; Monday 00:00 is 0."""
    return np.asarray((local_of_utc(starts_us, zone) // US_PER_HOUR + _THURSDAY_H) % 168)


def _past(
    reference: Reference, settings: CalibrationSettings, zone: ZoneInfo, base_s: int, scales: tuple[int, ...]
) -> Past:
    assert reference.blocks is not None  # noqa: S101 - asked by who calls
    season: Season | None = next((season for season in SEASONS if season == settings.season), None)
    return Past(
        reference,
        hours_of_week(reference.blocks.starts_s * US_PER_S, zone),
        base_s=base_s,
        scales=scales,
        rows_min=settings.rows_min,
        trivial_shift=settings.trivial_shift,
        season=season,
        weekend=settings.weekend,
    )


def _depends_on(settings: CalibrationSettings) -> dict[str, Any]:
    return {
        "scales": list(settings.scales),
        "effect_threshold": settings.effect_threshold,
        "trivial_shift": settings.trivial_shift,
        "rows_min": settings.rows_min,
        "season": settings.season,
        "weekend": list(settings.weekend),
        "time_zone": settings.time_zone,
    }


def _days(rates: FloatArray, base_s: int) -> float:
    """How long those days are together of which anything was tested: in a gap of the reference nothing can be raised."""
    a_day = max(1, _DAY_S // base_s)
    tested = np.unique(np.flatnonzero(~np.isnan(rates)) // a_day)
    return float(np.minimum(rates.size - tested * a_day, a_day).sum()) * base_s / _DAY_S


def _document_of(found: Replay, reference: Reference, settings: CalibrationSettings, past: Past) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "reference_id": reference_id(reference),
        "settings": _depends_on(settings),
        "season": past.season,
        "tables": {
            str(scale): {"evidence": table.evidence.tolist(), "independent": table.independent}
            for scale, table in found.tables.items()
        },
        "rates": [None if np.isnan(rate) else rate for rate in found.rates.tolist()],
    }


_FORMAT: Final = 1
"""Of what is kept; counted up when the calibration changes, so that an old replay is made again."""


def _replay_of(
    document: Mapping[str, Any], reference: Reference, settings: CalibrationSettings, past: Past
) -> Replay | None:
    """The replay that is kept, if it is of this reference and of these settings; whatever else it may be, it is made again."""
    try:
        if document["format"] != _FORMAT or document["settings"] != _depends_on(settings):
            return None
        if document["reference_id"] != reference_id(reference) or document["season"] != past.season:
            return None
        tables = {
            scale: Table(
                evidence=np.sort(_numbers_of(document["tables"][str(scale)]["evidence"])),
                independent=float(_numbers_of([document["tables"][str(scale)]["independent"]])[0]),
            )
            for scale in past.scales
        }
        rates = _numbers_of([np.nan if rate is None else rate for rate in document["rates"]])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    windows = int(past.places[-1]) + 1
    sound = rates.size == windows and bool((np.isnan(rates) | ((rates > 0) & np.isfinite(rates))).all())
    return Replay(tables=tables, rates=rates) if sound and all(_is_sound(t, windows) for t in tables.values()) else None


def _numbers_of(listed: Any) -> FloatArray:
    """A list of numbers; text that reads like one is none."""
    if not isinstance(listed, list) or not all(type(number) in (int, float) for number in listed):
        raise TypeError("wanted a list of numbers")
    return np.array(listed, dtype=np.float64)


def _is_sound(table: Table, windows: int) -> bool:
    evidence = table.evidence
    return (
        0 < evidence.size <= windows
        and bool(((evidence >= 0) & (evidence <= 1)).all())
        and 0 <= table.independent <= windows
    )
