"""How a window is judged: by the calibrated alarm where it can be, as a span of its length, or as independent rows. Pure."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, Counts, FloatArray
from detectors.calibration.alarm import Judgement, smallest_shift
from detectors.evidence import EVIDENCE, Evidence
from detectors.power import smallest_detectable_shift
from detectors.reference import Reference
from service.calibration.calibrated import Calibrated, Trust, hours_of_week
from service.calibration.trusts import without_calibration
from service.domain import Reason, Window
from service.domain.durations import format_duration
from service.evaluation.alarming import ScaleBar, SpanBar, decide_by_budget, with_judgement
from service.evaluation.policy import Decided, Policy, decide
from service.windows.zones import US_PER_S

__all__ = ["Judge", "Judged", "Parts", "parts_of"]

_30_DAYS_S: Final = 30 * 86_400
_SHIFT_TOLD: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """A window by base windows.

    Parameters
    ----------
    segments : ndarray of int64, shape [n_base_windows, n_segments]
        Of those with rows.
    starts_us : ndarray of int64, shape [n_base_windows]
    scale : int or None
        So many base windows, if that is a scale of the alarm.
    """

    segments: npt.NDArray[np.int64]
    starts_us: npt.NDArray[np.int64]
    scale: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What was made of a window; arrays of shape [n_columns], or [4, n_columns] by kind of evidence, NaN for nothing.

    Parameters
    ----------
    evidence : Evidence
    decided : Decided
    reason : str or None
        Why the whole window is undecided, whatever its columns say.
    location, scale, omnibus : ndarray of float64
    direction : ndarray of float64
        Of values, missing and invalid, shape [3, n_columns]; None where rows are taken for independent.
    spread : ndarray of float64
        Positive where values spread further.
    smallest_shift : ndarray of float64
    trust : Trust
    """

    evidence: Evidence
    decided: Decided
    reason: Reason | None
    location: FloatArray
    scale: FloatArray
    omnibus: FloatArray
    direction: FloatArray | None
    spread: FloatArray
    smallest_shift: FloatArray
    trust: Trust


class Judge:
    """Judges windows against one reference.

    Parameters
    ----------
    reference : Reference
    policy : Policy
    calibration : Calibrated or None
    """

    def __init__(self, reference: Reference, policy: Policy, calibration: Calibrated | None) -> None:
        self._numeric: BoolArray = reference.layout.numeric
        self._unknown = without_calibration(reference)
        self._policy = policy
        self._calibration = calibration

    @cached_property
    def trust(self) -> Trust:
        """How far the rate of false alarms is to be trusted."""
        return self._unknown if self._calibration is None else self._calibration.trust(self._policy.budget_per_30d)

    @cached_property
    def _untried(self) -> Trust:
        """The same for spans that are no scale: how often one like that would alarm was never tried."""
        trust = self.trust
        if trust.status != "verified":
            return trust
        assert self._calibration is not None  # noqa: S101 - nothing else is verified
        sizes = [format_duration(scale * self._calibration.base_s) for scale in self._calibration.alarm.scales]
        advice = f"evaluate whole windows of {', '.join(sizes)}: how often others would alarm was not tried"
        return replace(trust, status="calibrated", advice=advice)

    def judge(self, evidence: Evidence, parts: Parts | None, window: Window, broken: BoolArray) -> Judged:
        """Judge one window.

        Parameters
        ----------
        evidence : Evidence
            That of independent rows.
        parts : Parts or None
            None where there are no times.
        window : Window
        broken : ndarray of bool, shape [n_columns]
        """
        if self._calibration is None or parts is None:
            return self._independent(evidence, broken, self._unknown)  # without its parts a calibration does not help
        if not parts.starts_us.size:
            return self._independent(evidence, broken, self.trust)  # nothing came, and nothing is decided
        hours = hours_of_week(parts.starts_us, self._calibration.zone)
        scale = parts.scale
        if scale is not None and scale in self._calibration.alarm.scales:
            alarm = self._calibration.alarm
            judgement = alarm.judge(parts.segments, hours, scale)
            return self._judged(evidence, judgement, ScaleBar(alarm=alarm, scale=scale), broken, None)
        judgement = self._calibration.spans.judge(parts.segments, hours)
        reason: Reason | None = "short_reference" if scale is not None else None
        bar = SpanBar(of_30_days=_share_of_30_days(window))
        judged = _told_what_would_not_show(self._judged(evidence, judgement, bar, broken, reason))
        return replace(judged, trust=self._untried)

    def _judged(
        self,
        independent: Evidence,
        judgement: Judgement,
        bar: ScaleBar | SpanBar,
        broken: BoolArray,
        reason: Reason | None,
    ) -> Judged:
        evidence = with_judgement(independent, judgement)
        decided = decide_by_budget(evidence, judgement, self._policy, bar, broken=broken, numeric=self._numeric)
        return Judged(
            evidence=evidence,
            decided=decided,
            reason=reason,
            location=judgement.location,
            scale=judgement.scale,
            omnibus=judgement.omnibus,
            direction=judgement.direction,
            spread=judgement.spread,
            smallest_shift=self._smallest_shift(judgement, decided.line),
            trust=self.trust,
        )

    def _smallest_shift(self, judgement: Judgement, line: float) -> FloatArray:
        trivial = 0.0 if self._calibration is None else self._calibration.settings.trivial_shift
        return smallest_shift(judgement, self._numeric, line, self._policy.effect_threshold, trivial)

    def _independent(self, evidence: Evidence, broken: BoolArray, trust: Trust) -> Judged:
        decided = decide(evidence, self._policy, broken)
        line = decided.threshold / np.maximum(decided.tests, 1)
        shift = smallest_detectable_shift(evidence.tested, line, self._policy.effect_threshold)
        nothing = np.full(self._numeric.size, np.nan)
        return Judged(
            evidence=evidence,
            decided=decided,
            reason=None,
            location=nothing,
            scale=nothing,
            omnibus=evidence.pvalues[EVIDENCE.index("omnibus")],
            direction=None,
            spread=nothing,
            smallest_shift=np.where(self._numeric, shift, np.nan),
            trust=trust,
        )


def _told_what_would_not_show(judged: Judged) -> Judged:
    """Of a column in which half a standard deviation would not show, it cannot be said that it is stable."""
    blind = judged.smallest_shift > _SHIFT_TOLD
    columns = [
        replace(decision, verdict="undecided", reason="varied")
        if is_blind and decision.verdict == "stable"
        else decision
        for decision, is_blind in zip(judged.decided.columns, blind.tolist(), strict=True)
    ]
    return replace(judged, decided=replace(judged.decided, columns=columns))


def parts_of(reference: Reference, counts: list[tuple[int, Counts]], scale: int | None) -> Parts:
    """A window from the fine counts of its base windows, by their starts."""
    segments = np.zeros((len(counts), reference.segment_starts.size), dtype=np.int64)
    for row, (_, own) in enumerate(counts):
        segments[row] = reference.segments(own)
    return Parts(segments=segments, starts_us=np.array([start for start, _ in counts], dtype=np.int64), scale=scale)


def _share_of_30_days(window: Window) -> float | None:
    if window.start_us is None or window.end_us is None or window.end_us <= window.start_us:
        return None
    return (window.end_us - window.start_us) / US_PER_S / _30_DAYS_S
