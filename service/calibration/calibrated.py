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

from detectors.calibration.alarm import Alarm
from detectors.calibration.past import Past
from detectors.calibration.replay import Mapper, Replay, Score, Scored, Table, replay
from detectors.calibration.seasons import SEASONS, Season
from detectors.calibration.spans import LADDER, Spans
from detectors.reference import Reference
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
        if found is None or windows < _WINDOWS_MIN:
            return replace(known, advice=f"give the reference at least {_WINDOWS_MIN} base windows; it has {windows}")
        known = replace(
            known,
            replayed_days=found.rates.size * self.base_s / _DAY_S,
            replayed_alarms=len(alarms_of(found.rates, budget, self.base_s)),
        )
        assert known.replayed_alarms is not None  # noqa: S101 - said just above
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
        `map`, or that of a pool of threads.
    """
    if reference.blocks is None or parse_duration_s(reference.window) != base_s or not reference.blocks.starts_s.size:
        return None
    past = _past(reference, settings, zone, base_s, settings.scales)
    if not past.scales:
        return None
    kept = None if reference.replay is None else _replay_of(reference.replay, settings, past)
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
    document = _document_of(made.alarm.replay, settings, made.alarm.past)
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
        season=season,
        weekend=settings.weekend,
    )


def _depends_on(settings: CalibrationSettings) -> dict[str, Any]:
    return {
        "scales": list(settings.scales),
        "effect_threshold": settings.effect_threshold,
        "rows_min": settings.rows_min,
        "season": settings.season,
        "weekend": list(settings.weekend),
        "time_zone": settings.time_zone,
    }


def _document_of(found: Replay, settings: CalibrationSettings, past: Past) -> dict[str, Any]:
    return {
        "format": _FORMAT,
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


def _replay_of(document: Mapping[str, Any], settings: CalibrationSettings, past: Past) -> Replay | None:
    """The replay that is kept, if it is of these settings; whatever else it may be, it is made again."""
    try:
        if document["format"] != _FORMAT or document["settings"] != _depends_on(settings):
            return None
        tables = {
            scale: Table(
                evidence=np.sort(np.array(document["tables"][str(scale)]["evidence"], dtype=np.float64)),
                independent=float(document["tables"][str(scale)]["independent"]),
            )
            for scale in past.scales
        }
        rates = np.array([np.nan if rate is None else rate for rate in document["rates"]], dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        return None
    whole = rates.shape == (int(past.places[-1]) + 1,) and document["season"] == past.season
    return Replay(tables=tables, rates=rates) if whole and all(map(_is_sound, tables.values())) else None


def _is_sound(table: Table) -> bool:
    evidence = table.evidence
    return evidence.ndim == 1 and evidence.size > 0 and bool(((evidence >= 0) & (evidence <= 1)).all())
