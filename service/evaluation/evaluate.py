"""Counts of a window to its evaluation."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from detectors.arrays import Counts, FloatArray
from detectors.catalog import statistics
from detectors.comparison import GroupPair
from detectors.evidence import EVIDENCE, Assessor
from detectors.labels import group_labels
from detectors.quality import Quality
from detectors.reference import Reference, reference_id
from service.calibration.calibrated import Calibrated, Trust
from service.domain import ColumnEvaluation, Direction, Evaluation, EvidenceName, MovedBin, Window
from service.evaluation.judging import Judge, Judged, Parts
from service.evaluation.policy import Policy, window_verdict
from service.evaluation.thumbs import Thumbs

__all__ = ["Evaluator"]

_MOVED_MAX = 3
_DIRECTION_Z = 2.576  # a direction is named when the location moved with p < .01


class Evaluator:
    """Evaluates windows against one reference.

    Parameters
    ----------
    reference : Reference
    policy : Policy, optional
    calibration : Calibrated, optional
        None where rows have to be taken for independent.
    """

    def __init__(
        self, reference: Reference, policy: Policy | None = None, calibration: Calibrated | None = None
    ) -> None:
        self.reference = reference
        self.policy = policy or Policy()
        self._assessor = Assessor(reference)
        self._judge = Judge(reference, self.policy, calibration)
        self._numeric = reference.layout.numeric
        self._past = Quality(reference.layout, reference.counts)
        self._thumbs = Thumbs(reference, self.policy.rows_min) if self.policy.rules else None
        self._id = reference_id(reference)
        self._labels = [
            group_labels(column, starts)
            for column, starts in zip(reference.columns, reference.group_starts, strict=True)
        ]

    def evaluate(
        self,
        counts: Counts,
        rows: int,
        window: Window,
        evaluated_at: str,
        *,
        errors: Mapping[str, str] | None = None,
        parts: Parts | None = None,
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
        parts : Parts, optional
            The window by base windows; without them it cannot be judged by the calibration.

        Returns
        -------
        Evaluation
        """
        errors = errors or {}
        comparison, evidence = self._assessor.assess(counts)
        broken = np.array([column.name in errors for column in self.reference.columns], dtype=np.bool_)
        judged = self._judge.judge(evidence, parts, window, broken)
        evidence, decided = judged.evidence, judged.decided
        numbers = {name: _listed(values) for name, values in statistics(comparison).items()}
        pvalues = self._pvalues(judged)
        facts: dict[str, list[Any]] = {
            "rows": evidence.quality.present.tolist(),
            "effective_rows": _listed(evidence.effective_rows),
            "smallest_detectable_shift": _listed(judged.smallest_shift),
            "test_groups": [groups or None for groups in evidence.test_groups.tolist()],
            "missing_ratio": _listed(evidence.quality.missing_ratio),
            "invalid_ratio": _listed(evidence.quality.invalid_ratio),
            "unseen_ratio": _listed(np.where(self._numeric, np.nan, evidence.quality.unseen_ratio)),
            "out_of_range_ratio": _listed(np.where(self._numeric, evidence.quality.out_of_range_ratio, np.nan)),
            "moved": self._moved(comparison.groups),
        }
        directions = self._directions(judged, comparison.groups)
        columns = {}
        of_columns = zip(_by_column(numbers), _by_column(pvalues), _by_column(facts), strict=True)
        for index, (column, decision, known) in enumerate(
            zip(self.reference.columns, decided.columns, of_columns, strict=True)
        ):
            failed = column.name in errors
            found = tuple(map(_nothing_of, known)) if failed else known
            columns[column.name] = ColumnEvaluation(
                role=column.role,
                kind=column.kind,
                verdict=decision.verdict,
                reason=decision.reason,
                statistics=found[0],
                pvalue=_number(decision.pvalue),
                pvalue_threshold=None
                if failed
                else decided.threshold
                if decision.verdict == "drifted"
                else decided.line,
                pvalues=found[1],
                effect=_number(decision.effect),
                effect_threshold=self.policy.effect_threshold,
                evidence=decision.evidence,
                direction=None if decision.evidence is None else directions[decision.evidence][index],
                error=errors.get(column.name),
                **found[2],
            )
        verdict, reason = window_verdict(decided.columns)
        if judged.reason is not None:
            verdict, reason = "undecided", judged.reason
        trust = judged.trust
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
            calibration=trust.status,
            calibration_advice=trust.advice,
            # What cannot be said honestly is not said: without a calibration there is no rate of false alarms.
            false_alarms_per_30d=None if verdict == "undecided" else decided.rate,
            budget_per_30d=None if decided.rate is None else self.policy.budget_per_30d,
            scale=None,
            tier=decided.tier if verdict == "drifted" else None,
            season=trust.season,
            replayed_false_alarms_per_30d=trust.replayed_per_30d,
            columns=columns,
            rules=() if self._thumbs is None else self._thumbs.said(counts, self.policy.rules),
        )

    @property
    def trust(self) -> Trust:
        """How far the rate of false alarms is to be trusted."""
        return self._judge.trust

    def _moved(self, groups: GroupPair) -> list[tuple[MovedBin, ...]]:
        """The groups of each column whose shares moved most, the largest change first."""
        q, p = groups.shares
        distance = np.nan_to_num(np.abs(p - q))
        column_of = np.repeat(np.arange(groups.sizes.size), groups.sizes)
        order = np.lexsort((-distance, column_of))
        distances, past, now = distance[order].tolist(), q[order].tolist(), p[order].tolist()
        places = order.tolist()
        moved = []
        for start, size, labels in zip(groups.starts.tolist(), groups.sizes.tolist(), self._labels, strict=True):
            largest = range(start, start + min(size, _MOVED_MAX))
            moved.append(
                tuple(
                    MovedBin(bin=labels[places[k] - start], reference=past[k], current=now[k])
                    for k in largest
                    if distances[k] > 0
                )
            )
        return moved

    def _pvalues(self, judged: Judged) -> dict[str, list[float | None]]:
        shares = {kind: _listed(judged.evidence.pvalues[row]) for row, kind in enumerate(EVIDENCE) if row}
        return {
            "location": _listed(judged.location),
            "scale": _listed(judged.scale),
            "omnibus": _listed(judged.omnibus),
            "ks": _listed(judged.evidence.ks),
        } | shares

    def _directions(self, judged: Judged, groups: GroupPair) -> dict[EvidenceName, list[Direction | None]]:
        """Which way each kind of evidence points: where values went, whether they spread, or whether a share rose."""
        now = judged.evidence.quality
        known = judged.direction
        z = np.where(self._numeric, _location_z(groups), np.nan) if known is None else known[0]
        values: list[Direction | None] = [
            ("up" if v > 0 else "down") if abs(v) > _DIRECTION_Z else None for v in z.tolist()
        ]
        return {
            **dict.fromkeys(("omnibus", "location", "shape"), values),
            "scale": [None] * self._numeric.size if known is None else _up_or_down(judged.spread),
            "categories": [None] * self._numeric.size,
            "missing": _up_or_down(now.missing_ratio - self._past.missing_ratio),
            "invalid": _up_or_down(now.invalid_ratio - self._past.invalid_ratio),
            "unseen": ["up"] * self._numeric.size,
        }


def _up_or_down(change: FloatArray) -> list[Direction | None]:
    return ["up" if value > 0 else "down" for value in change.tolist()]


# What is known of a column that could not be counted; all else is None.
_NOTHING: dict[str, Any] = {"rows": 0, "moved": ()}


def _location_z(groups: GroupPair) -> FloatArray:
    """Mann-Whitney statistic on the groups, standardised with the variance of untied ranks (an upper bound)."""
    q, p = groups.shares
    total = np.cumsum(np.nan_to_num(q))
    before = total[groups.starts] - np.nan_to_num(q)[groups.starts]
    ridit = total - np.repeat(before, groups.sizes) - np.nan_to_num(q) / 2
    n, m = groups.rows.astype(np.float64), groups.reference_rows.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (groups.total(p * ridit) - 0.5) * np.sqrt(12 * n * m / (n + m))


def _by_column(named: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Lists by name, each of one value a column, as a dictionary a column."""
    return [dict(zip(named, values, strict=True)) for values in zip(*named.values(), strict=True)]


def _nothing_of(known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _NOTHING.get(name) for name in known}


def _listed(array: FloatArray) -> list[float | None]:
    """Python floats of an array; None where a number does not exist."""
    finite = np.isfinite(array)
    if finite.all():
        return list(array.tolist())
    return [value if exists else None for value, exists in zip(array.tolist(), finite.tolist(), strict=True)]


def _number(value: float) -> float | None:
    return value if isfinite(value) else None
