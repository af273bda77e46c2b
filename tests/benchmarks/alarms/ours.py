"""The product's calibrated alarm as shipped: default settings, calibrated on the reference of the world and nothing else."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from rules import Verdicts
from streams import Stream, World

from detectors.calibration.calibrated import Calibration
from detectors.calibration.past import Past
from detectors.calibration.replay import Replay, hop_of, replay, spent, strength
from service.alerts.decision import clear_above
from service.calibration.alarms import alarms_of
from service.calibration.calibrated import hours_of_week
from service.calibration.settings import CalibrationSettings
from service.domain.durations import zone_of

__all__ = ["fit"]

_HOUR_S = 3600
_BUDGET = 1.0
_DAYS_30 = 720


class _Ours:
    def __init__(self, past: Past, replayed: Replay) -> None:
        self._past = past
        self._replayed = replayed
        self._calibration = Calibration(past)

    def score(self, stream: Stream) -> Mapping[str, Verdicts]:
        rates = self._rates(stream)
        hours = self._replayed.rates.size
        facts = {"replayed per 30 d": len(alarms_of(self._replayed.rates, _BUDGET, _HOUR_S)) * _DAYS_30 / hours}
        fires = np.nan_to_num(rates, nan=np.inf) <= _BUDGET
        holds = np.nan_to_num(rates, nan=np.inf) <= clear_above(_BUDGET, _DAYS_30)
        return {"ours": Verdicts(fires=fires, holds=holds, facts=facts)}

    def _rates(self, stream: Stream) -> npt.NDArray[np.float64]:
        """False alarms in 30 days at the strength of each hour's evidence, over the scales that end with it."""
        past, rates = self._past, np.full(stream.rows.size, np.nan)
        groups = past.traits.groups(stream.counts)
        strata = past.strata(hours_of_week(stream.starts_s * 1_000_000, zone_of("UTC")))
        number = stream.starts_s // _HOUR_S + 1
        for scale in past.scales:
            ends = np.flatnonzero((np.arange(rates.size) >= scale - 1) & (number % hop_of(scale) == 0))
            found = self._calibration.rolling(groups, strata, scale=scale, ends=ends)
            evidence = strength(found.pvalue, found.effect, CalibrationSettings().effect_threshold)
            rate = self._replayed.tables[scale].placed(evidence) / spent(scale, past)
            rates[ends] = np.fmin(rates[ends], rate)
        return rates


def fit(world: World) -> _Ours:
    """Calibrate on the reference, and replay it."""
    settings, reference = CalibrationSettings(), world.fitted
    assert reference.blocks is not None
    hours = hours_of_week(reference.blocks.starts_s * 1_000_000, zone_of("UTC"))
    past = Past(
        reference,
        hours,
        base_s=_HOUR_S,
        scales=settings.scales,
        rows_min=settings.rows_min,
        trivial_shift=settings.trivial_shift,
    )
    found = replay(past, effect_threshold=settings.effect_threshold)
    assert found is not None
    return _Ours(past, found)
