"""From evidence to verdicts, where rows have to be taken for independent; with a calibration see `alarming`. Pure.

A column's p-value is the smallest of its evidence times the number of tests it
had (Bonferroni), the line is drawn over the columns by Benjamini and Hochberg at q = .05, and nothing counts whose effect is
not above 0.005 of excess PSI, about 0.07 standard deviations. These p-values take rows for independent (status `iid`):
on dependent or seasonal traffic they alarm too often, which every verdict says.

References
----------
.. [1] Benjamini, Hochberg (1995), "Controlling the false discovery rate: a practical and powerful approach to multiple
   testing", eq. 1.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, IndexArray
from detectors.evidence import EVIDENCE, Evidence
from service.domain import EvidenceName, Reason, Verdict
from service.domain.thumb import ThumbRule

__all__ = [
    "BROKEN",
    "ColumnDecision",
    "Decided",
    "Policy",
    "benjamini_hochberg",
    "decide",
    "undecided",
    "usable",
    "window_verdict",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When a column counts as drifted.

    Parameters
    ----------
    false_discovery_rate : float
        Expected share of false ones among the columns that are called drifted, while rows are independent.
    effect_threshold : float
        Excess PSI that a change has to be above to matter.
    rows_min : int
        Below so many present rows a column is undecided.
    budget_per_30d : float
        False alarms that 30 days may have, where the reference lets them be known.
    rules : tuple of ThumbRule
        Rules of thumb that are shown, and have no say.
    """

    false_discovery_rate: float = 0.05
    effect_threshold: float = 0.005
    rows_min: int = 30
    budget_per_30d: float = 1.0
    rules: tuple[ThumbRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDecision:
    """Verdict on one column.

    Parameters
    ----------
    verdict : {"stable", "drifted", "undecided"}
    reason : str or None
        Why it is undecided.
    pvalue, effect : float
        Of the evidence that decided, or else of the strongest; NaN when there was none.
    evidence : str or None
        What decided, for a drifted column.
    """

    verdict: Verdict
    reason: Reason | None
    pvalue: float
    effect: float
    evidence: EvidenceName | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decided:
    """Verdicts on all columns of a window.

    Parameters
    ----------
    columns : list of ColumnDecision
    threshold : float
        The line that a column's p-value has to be at or below.
    tests : ndarray of intp, shape [n_columns]
        How many tests each column had; its p-value is the smallest times that.
    line : float
        The threshold of a column that is not drifted.
    rate : float or None
        False alarms in 30 days at this strength of evidence.
    tier : str or None
    """

    columns: list[ColumnDecision]
    threshold: float
    tests: IndexArray
    line: float
    rate: float | None = None
    tier: str | None = None


def decide(evidence: Evidence, policy: Policy, broken: BoolArray | None = None) -> Decided:
    """Decide on every column of a window.

    Parameters
    ----------
    evidence : Evidence
    policy : Policy
    broken : ndarray of bool, shape [n_columns], optional
        Columns that could not be counted: undecided, and without a say in the line.

    Returns
    -------
    Decided
    """
    pvalues = np.where(usable(evidence, policy), evidence.pvalues, np.nan)
    if broken is not None:
        pvalues[:, broken] = np.nan
    tests = np.count_nonzero(~np.isnan(pvalues), axis=0).astype(np.intp)
    adjusted = np.minimum(pvalues * tests, 1.0)
    best = np.argmin(np.where(np.isnan(adjusted), 2.0, adjusted), axis=0)
    column_pvalue = np.take_along_axis(adjusted, best[None], axis=0)[0]
    threshold = benjamini_hochberg(column_pvalue, policy.false_discovery_rate)
    with np.errstate(invalid="ignore"):
        counts_as_drift = (adjusted <= threshold) & (evidence.effects > policy.effect_threshold)
    drifted = counts_as_drift.any(axis=0)
    decisive = np.argmin(np.where(counts_as_drift, adjusted, 2.0), axis=0)
    strongest = np.where(drifted, decisive, best)
    effect = np.take_along_axis(evidence.effects, strongest[None], axis=0)[0]
    shown = np.take_along_axis(adjusted, strongest[None], axis=0)[0]
    decisions = [
        ColumnDecision(
            verdict="drifted" if is_drifted else "undecided" if reason else "stable",
            reason=None if is_drifted else reason,
            pvalue=column_shown,
            effect=column_effect,
            evidence=EVIDENCE[kind] if is_drifted else None,
        )
        for is_drifted, reason, column_shown, column_effect, kind in zip(
            drifted.tolist(),
            undecided(evidence, policy, ~np.isnan(pvalues[0])),
            shown.tolist(),
            effect.tolist(),
            strongest.tolist(),
            strict=True,
        )
    ]
    if broken is not None:
        decisions = [BROKEN if is_broken else made for made, is_broken in zip(decisions, broken.tolist(), strict=True)]
    return Decided(columns=decisions, threshold=threshold, tests=tests, line=threshold)


BROKEN = ColumnDecision(verdict="undecided", reason="error", pvalue=float("nan"), effect=float("nan"), evidence=None)


def window_verdict(decisions: list[ColumnDecision]) -> tuple[Verdict, Reason | None]:
    """Verdict on a window from those on its columns: any drifted, else any stable, else undecided for the usual reason."""
    verdicts = {decision.verdict for decision in decisions}
    if "drifted" in verdicts:
        return "drifted", None
    if "stable" in verdicts:
        return "stable", None
    reasons = [decision.reason for decision in decisions if decision.reason is not None]
    return "undecided", max(sorted(set(reasons)), key=reasons.count) if reasons else "no_rows"


def usable(evidence: Evidence, policy: Policy) -> BoolArray:
    """Which evidence rests on enough rows: [4, n_columns]."""
    enough_present = (evidence.quality.present >= policy.rows_min) & (evidence.reference_rows >= policy.rows_min)
    enough_rows = evidence.quality.rows >= policy.rows_min
    usable = np.stack([enough_present, enough_rows, enough_rows, enough_present])
    return usable & ~np.isnan(evidence.pvalues)


def undecided(evidence: Evidence, policy: Policy, values_tested: BoolArray) -> list[Reason | None]:
    """Why a column that is not drifted is not stable either; "stable" needs a test of its values that found nothing."""
    reasons: tuple[tuple[Reason | None, BoolArray], ...] = (
        ("no_rows", evidence.quality.rows == 0),
        ("empty_reference", evidence.reference_rows == 0),
        ("too_few_rows", evidence.quality.present < policy.rows_min),
        ("constant_reference", evidence.constant),
        ("few_reference_rows", evidence.reference_rows < policy.rows_min),
        ("too_few_rows", ~values_tested),
        (None, np.ones_like(values_tested)),
    )
    first = np.argmax(np.stack([holds for _, holds in reasons]), axis=0)
    return [reasons[number][0] for number in first.tolist()]


def benjamini_hochberg(pvalues: npt.NDArray[np.float64], rate: float) -> float:
    """The line that the largest rejected p-value is under, or the one that the smallest p-value missed."""
    tested = np.sort(pvalues[~np.isnan(pvalues)])
    if not tested.size:
        return rate
    line = rate * np.arange(1, tested.size + 1) / tested.size
    passed = np.flatnonzero(tested <= line)
    return float(line[passed[-1]] if passed.size else line[0])
