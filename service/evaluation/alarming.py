"""From calibrated evidence to verdicts. Pure.

A window is drifted if evidence as strong as its own would raise no more false alarms than the budget allows. Which columns are
to blame is then said by Benjamini and Hochberg at q = .1 among those whose effect matters; the strongest always is.
"""

from dataclasses import dataclass, replace
from typing import Final, cast

import numpy as np

from detectors.arrays import BoolArray, FloatArray
from detectors.calibration.alarm import Alarm, Judgement
from detectors.calibration.replay import strength
from detectors.evidence import EVIDENCE, Evidence
from service.domain import EvidenceName
from service.evaluation.policy import BROKEN, ColumnDecision, Decided, Policy, benjamini_hochberg, undecided, usable

__all__ = ["SPAN_PVALUE_MAX", "ScaleBar", "SpanBar", "decide_by_budget", "with_judgement"]

SPAN_PVALUE_MAX: Final = 0.01
"""A span that is no scale of the alarm is drifted at no larger p-value, however long the budget lets one wait."""

_BLAME_RATE: Final = 0.1
_NAMES: Final[tuple[EvidenceName, ...]] = ("location", "scale", "shape")


def with_judgement(evidence: Evidence, judgement: Judgement) -> Evidence:
    """Evidence with the calibrated numbers in place of those for independent rows, where the reference has a spread."""
    pvalues, effects = evidence.pvalues.copy(), evidence.effects.copy()
    pvalues[0] = judgement.pvalues[0]  # of values without a spread nothing is known but that other ones came
    effects[0] = np.where(judgement.known[0], judgement.effects[0], effects[0])
    shares = judgement.known[1:]
    pvalues[1:3] = np.where(shares, judgement.pvalues[1:], pvalues[1:3])
    effects[1:3] = np.where(shares, judgement.effects[1:], effects[1:3])
    return replace(
        evidence,
        pvalues=pvalues,
        effects=effects,
        effective_rows=judgement.effective_rows,
        test_groups=judgement.test_groups,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleBar:
    """What a window has to show that is a scale of the alarm."""

    alarm: Alarm
    scale: int

    def line(self, policy: Policy, n_tests: int) -> float:
        """P-value at or below which one of so many tests is enough."""
        return self.alarm.line(policy.budget_per_30d, n_tests, self.scale)

    def rate(self, pvalues: FloatArray, effects: FloatArray, policy: Policy) -> float | None:
        """False alarms in 30 days at this strength; None where nothing could be tested."""
        rate = self.alarm.rate(pvalues.ravel(), effects.ravel(), policy.effect_threshold, self.scale)
        return None if np.isnan(rate) else rate


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanBar:
    """What any other span has to show: that by chance, one as long would say so less often than the budget allows.

    Parameters
    ----------
    of_30_days : float or None
        Length of the span; None where it has no times, and no rate.
    """

    of_30_days: float | None

    def line(self, policy: Policy, n_tests: int) -> float:
        """P-value at or below which one of so many tests is enough."""
        allowed = 1.0 if self.of_30_days is None else policy.budget_per_30d * self.of_30_days
        return min(SPAN_PVALUE_MAX, allowed) / max(n_tests, 1)

    def rate(self, pvalues: FloatArray, effects: FloatArray, policy: Policy) -> float | None:
        """False alarms in 30 days at this strength; None where nothing could be tested, or there are no times."""
        evidence = float(strength(pvalues.ravel(), effects.ravel(), policy.effect_threshold))
        return None if np.isnan(evidence) or not self.of_30_days else evidence / self.of_30_days


def decide_by_budget(
    evidence: Evidence,
    judgement: Judgement,
    policy: Policy,
    bar: ScaleBar | SpanBar,
    *,
    broken: BoolArray,
    numeric: BoolArray,
) -> Decided:
    """Decide on a window and its columns.

    Parameters
    ----------
    evidence : Evidence
        With the judgement's numbers.
    judgement : Judgement
    policy : Policy
    bar : ScaleBar or SpanBar
    broken : ndarray of bool, shape [n_columns]
        Columns that could not be counted.
    numeric : ndarray of bool, shape [n_columns]
    """
    pvalues = np.where(usable(evidence, policy) & ~broken, evidence.pvalues, np.nan)
    n_tests = int(np.count_nonzero(~np.isnan(pvalues)))
    line = bar.line(policy, n_tests)
    with np.errstate(invalid="ignore"):
        matters = evidence.effects > policy.effect_threshold
        counted = np.where(np.isnan(pvalues), np.nan, np.where(matters, pvalues, 1.0))
        fires = bool((counted <= line).any())
        blame = (
            np.maximum(line, benjamini_hochberg(np.sort(counted[~np.isnan(counted)]), _BLAME_RATE)) if fires else line
        )
        guilty: BoolArray = np.logical_and(fires, matters & (pvalues <= blame))
    drifted: BoolArray = np.asarray(guilty.any(axis=0))
    strongest = np.argmin(np.where(guilty, pvalues, np.where(np.isnan(pvalues), 3.0, 1 + pvalues)), axis=0)
    shown = np.take_along_axis(pvalues, strongest[None], axis=0)[0]
    effects = np.take_along_axis(evidence.effects, strongest[None], axis=0)[0]
    reasons = undecided(evidence, policy, np.asarray(~np.isnan(pvalues[0])))
    decisions = [
        BROKEN
        if is_broken
        else ColumnDecision(
            verdict="drifted" if is_drifted else "undecided" if reason else "stable",
            reason=None if is_drifted else reason,
            pvalue=pvalue,
            effect=effect,
            evidence=_named(judgement, index, kind, line=float(blame), is_numeric=is_numeric) if is_drifted else None,
        )
        for index, (is_broken, is_drifted, reason, pvalue, effect, kind, is_numeric) in enumerate(
            zip(
                broken.tolist(),
                drifted.tolist(),
                reasons,
                shown.tolist(),
                effects.tolist(),
                strongest.tolist(),
                numeric.tolist(),
                strict=True,
            )
        )
    ]
    major = fires and bool((judgement.major & guilty[:3]).any())
    return Decided(
        columns=decisions,
        threshold=float(blame),
        tests=np.ones(broken.size, dtype=np.intp),
        rate=bar.rate(pvalues, evidence.effects, policy),
        tier=("major" if major else "alarm") if fires else None,
        line=line,
    )


def _named(judgement: Judgement, index: int, kind: int, *, line: float, is_numeric: bool) -> EvidenceName:
    """In which way a column drifted: the simplest that is evidence enough by itself, for a shift moves every component."""
    if kind:
        return cast("EvidenceName", EVIDENCE[kind])
    if not is_numeric:
        return "categories"
    ways = np.array([judgement.location[index], judgement.scale[index], judgement.omnibus[index]])
    enough = np.flatnonzero(ways <= line)
    return _NAMES[int(enough[0]) if enough.size else int(np.nanargmin(ways))]
