"""Counts of a window to its evaluation."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from detectors.arrays import Counts, FloatArray, sums
from detectors.catalog import statistics
from detectors.comparison import Comparer, GroupPair
from detectors.evidence import EVIDENCE, Evidence, evidence_of
from detectors.labels import group_labels
from detectors.power import smallest_detectable_shift
from detectors.reference import Reference, reference_id
from service.domain import ColumnEvaluation, Evaluation, MovedBin, Window
from service.evaluation.policy import ColumnDecision, Policy, decide, window_verdict

__all__ = ["Evaluator"]

_MOVED_MAX = 3
_DIRECTION_Z = 2.576  # a direction is named when the location moved with p < .01


class Evaluator:
    """Evaluates windows against one reference.

    Parameters
    ----------
    reference : Reference
    policy : Policy, optional
    """

    def __init__(self, reference: Reference, policy: Policy | None = None) -> None:
        self.reference = reference
        self.policy = policy or Policy()
        self._comparer = Comparer(reference)
        self._id = reference_id(reference)
        self._labels = [
            group_labels(column, starts)
            for column, starts in zip(reference.columns, reference.group_starts, strict=True)
        ]

    def evaluate(
        self, counts: Counts, rows: int, window: Window, evaluated_at: str, errors: Mapping[str, str] | None = None
    ) -> Evaluation:
        """Evaluate one window.

        Parameters
        ----------
        counts : Counts, shape [n_bins_total]
        rows : int
            Rows of the window.
        window : Window
        evaluated_at : str
            RFC 3339.
        errors : mapping of str to str, optional
            Columns that could not be counted, and why.

        Returns
        -------
        Evaluation
        """
        errors = errors or {}
        comparison = self._comparer.compare(counts)
        evidence = evidence_of(self._comparer, comparison, counts)
        decisions, threshold = decide(evidence, self.policy)
        decisions = [
            _ERROR if column.name in errors else decision
            for column, decision in zip(self.reference.columns, decisions, strict=True)
        ]
        numbers = statistics(comparison)
        shift = smallest_detectable_shift(evidence.tested, threshold, self.policy.effect_threshold)
        location = _location_z(comparison.groups)
        columns = {}
        for index, (column, decision) in enumerate(zip(self.reference.columns, decisions, strict=True)):
            failed = column.name in errors
            columns[column.name] = ColumnEvaluation(
                role=column.role,
                kind=column.kind,
                verdict=decision.verdict,
                reason=decision.reason,
                rows=int(evidence.quality.present[index]),
                statistics={name: None if failed else _number(values[index]) for name, values in numbers.items()},
                pvalue=_number(decision.pvalue),
                pvalue_threshold=None if failed else threshold,
                pvalues=_pvalues(evidence, index, failed=failed),
                effect=_number(decision.effect),
                effect_threshold=self.policy.effect_threshold,
                evidence=decision.evidence,
                direction=self._direction(decision, evidence, index, location),
                effective_rows=_number(evidence.effective_rows[index]),
                smallest_detectable_shift=_number(shift[index]) if column.kind == "numeric" else None,
                test_groups=int(evidence.test_groups[index]) or None,
                missing_ratio=_number(evidence.quality.missing_ratio[index]),
                invalid_ratio=_number(evidence.quality.invalid_ratio[index]),
                unseen_ratio=_number(evidence.quality.unseen_ratio[index]) if column.kind == "categorical" else None,
                out_of_range_ratio=_number(evidence.quality.out_of_range_ratio[index])
                if column.kind == "numeric"
                else None,
                moved=self._moved(comparison.groups, index),
                error=errors.get(column.name),
            )
        verdict, reason = window_verdict(decisions)
        return Evaluation(
            model=self.reference.model,
            version=self.reference.version,
            segment=None,
            reference_id=self._id,
            window=window,
            evaluated_at=evaluated_at,
            revision=1,
            provisional=False,
            rows=rows,
            late_rows=0,
            verdict=verdict,
            reason=reason,
            calibration="iid",
            # What cannot be said honestly is not said: without a calibration there is no rate of false alarms.
            false_alarms_per_30d=None,
            budget_per_30d=None,
            scale=None,
            tier=None,
            columns=columns,
        )

    def _moved(self, groups: GroupPair, index: int) -> tuple[MovedBin, ...]:
        start = int(groups.starts[index])
        span = slice(start, start + int(groups.sizes[index]))
        q, p = groups.shares[0][span], groups.shares[1][span]
        distance = np.abs(p - q)
        if np.isnan(distance).any():
            return ()
        largest = np.argsort(-distance, kind="stable")[:_MOVED_MAX]
        labels = self._labels[index]
        return tuple(
            MovedBin(bin=labels[k], reference=float(q[k]), current=float(p[k])) for k in largest if distance[k] > 0
        )

    def _direction(
        self, decision: ColumnDecision, evidence: Evidence, index: int, location: FloatArray
    ) -> Literal["up", "down"] | None:
        if decision.evidence is None:
            return None
        if decision.evidence == "omnibus":
            if self.reference.columns[index].kind != "numeric" or not abs(location[index]) > _DIRECTION_Z:
                return None
            return "up" if location[index] > 0 else "down"
        if decision.evidence == "unseen":
            return "up"
        layout = self.reference.layout
        bins = layout.missing if decision.evidence == "missing" else layout.invalid
        rows = sums(self.reference.counts, layout.starts)
        past = self.reference.counts[bins[index]] / rows[index]
        now = evidence.quality.missing_ratio if decision.evidence == "missing" else evidence.quality.invalid_ratio
        return "up" if now[index] > past else "down"


_ERROR = ColumnDecision(verdict="undecided", reason="error", pvalue=float("nan"), effect=float("nan"), evidence=None)


def _location_z(groups: GroupPair) -> npt.NDArray[np.float64]:
    """Mann-Whitney statistic on the groups, standardised with the variance of untied ranks (an upper bound)."""
    q, p = groups.shares
    total = np.cumsum(np.nan_to_num(q))
    before = total[groups.starts] - np.nan_to_num(q)[groups.starts]
    ridit = total - np.repeat(before, groups.sizes) - np.nan_to_num(q) / 2
    n, m = groups.rows.astype(np.float64), groups.reference_rows.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (groups.total(p * ridit) - 0.5) * np.sqrt(12 * n * m / (n + m))


def _pvalues(evidence: Evidence, index: int, *, failed: bool) -> dict[str, float | None]:
    raw = {kind: _number(evidence.pvalues[row, index]) for row, kind in enumerate(EVIDENCE)}
    # Location and scale come with the calibrated alarm; their places are part of the format.
    ordered = {"location": None, "scale": None, "omnibus": raw["omnibus"], "ks": _number(evidence.ks[index])}
    ordered |= {kind: raw[kind] for kind in ("missing", "invalid", "unseen")}
    return dict.fromkeys(ordered) if failed else ordered


def _number(value: float | np.floating[npt.NBitBase]) -> float | None:
    return float(value) if np.isfinite(value) else None
