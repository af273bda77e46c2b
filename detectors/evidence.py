"""Everything that speaks for or against "nothing changed", for each column of one window.

Four kinds of evidence: the present values (`omnibus`), and the shares of missing, invalid and unseen rows. Each has a p-value
and an effect, in excess PSI, so that one gate serves all. The p-values hold for independent rows (calibration `iid`).
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, Counts, FloatArray, IndexArray
from detectors.columns import CategoricalColumn
from detectors.comparison import Comparer, Comparison, GroupPair
from detectors.ks_null import KsNull
from detectors.pearson import omnibus_pvalue
from detectors.psi import excess_of, psi_excess
from detectors.quality import Quality
from detectors.reference.model import Reference
from detectors.two_bins import share_pvalue, unseen_pvalue

__all__ = ["EVIDENCE", "Assessor", "Evidence", "EvidenceKind"]

EvidenceKind = Literal["omnibus", "missing", "invalid", "unseen"]
EVIDENCE: Final[tuple[EvidenceKind, ...]] = ("omnibus", "missing", "invalid", "unseen")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """P-values and effects of one window.

    Parameters
    ----------
    pvalues, effects : ndarray of float64, shape [4, n_columns]
        In the order of `EVIDENCE`; NaN where there is nothing to test.
    ks : ndarray of float64, shape [n_columns]
        P-value of the KS statistic, for display.
    test_groups : ndarray of int64, shape [n_columns]
        Groups of the omnibus test after merging.
    tested : GroupPair
        Those groups.
    effective_rows : ndarray of float64, shape [n_columns]
        n m / (n + m): how many rows against a known distribution the comparison is worth.
    constant : ndarray of bool, shape [n_columns]
        Whether the reference has a single distinct value.
    quality : Quality
        Of the window.
    reference_rows : ndarray of int64, shape [n_columns]
        Present rows of the reference.
    """

    pvalues: FloatArray
    effects: FloatArray
    ks: FloatArray
    test_groups: npt.NDArray[np.int64]
    tested: GroupPair
    effective_rows: FloatArray
    constant: BoolArray
    quality: Quality
    reference_rows: npt.NDArray[np.int64]


class Assessor:
    """Gathers the evidence of windows against one reference; what depends on the reference alone is computed once.

    Parameters
    ----------
    reference : Reference
    """

    def __init__(self, reference: Reference) -> None:
        self._layout = layout = reference.layout
        self._comparer = Comparer(reference)
        self._past = past = Quality(layout, reference.counts)
        self._null = KsNull(self._comparer.compare(reference.counts).groups, np.flatnonzero(layout.numeric))
        self._constant, self._home = _constant(reference)
        once = [c.once if isinstance(c, CategoricalColumn) else 0 for c in reference.columns]
        twice = [c.twice if isinstance(c, CategoricalColumn) else 0 for c in reference.columns]
        # What the reference itself has of its new is expected: infinities beside a single value, and, in a reference
        # promoted from traffic, unseen categories. Then it is known how often they come, and need not be estimated.
        self._past_new = self._new(past, reference.counts)
        self._once = np.where(self._past_new > 0, self._past_new, once)
        self._twice = np.where(self._past_new > 0, 0, twice)

    def assess(self, counts: Counts) -> tuple[Comparison, Evidence]:
        """Compare one window with the reference and gather the evidence.

        Parameters
        ----------
        counts : Counts, shape [n_bins_total]

        Returns
        -------
        comparison : Comparison
        evidence : Evidence
        """
        comparison = self._comparer.compare(counts)
        now, past = Quality(self._layout, counts), self._past
        pvalue, test_groups, tested = omnibus_pvalue(comparison.groups)
        new = self._new(now, counts)
        n, m = now.present.astype(np.float64), past.present.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            effective = n * m / (n + m)
        evidence = Evidence(
            pvalues=np.stack(
                [
                    pvalue,
                    share_pvalue(now.missing, now.rows, past.missing, past.rows),
                    share_pvalue(now.invalid, now.rows, past.invalid, past.rows),
                    unseen_pvalue(new, now.present, self._once, self._twice, past.present),
                ]
            ),
            effects=np.stack(
                [
                    psi_excess(comparison),
                    _share_effect(now.missing, now.rows, past.missing, past.rows),
                    _share_effect(now.invalid, now.rows, past.invalid, past.rows),
                    _share_effect(new, now.present, self._past_new, past.present),
                ]
            ),
            ks=self._null.pvalue(comparison.groups),
            test_groups=test_groups,
            tested=tested,
            effective_rows=effective,
            constant=self._constant,
            quality=now,
            reference_rows=past.present,
        )
        return comparison, evidence

    def _new(self, quality: Quality, counts: Counts) -> npt.NDArray[np.int64]:
        """Rows that the reference has no like of: unseen categories, or anything but the one value it had."""
        elsewhere = np.where(self._constant, quality.present - counts[self._home], 0)
        return np.where(self._layout.numeric, elsewhere, quality.unseen)


def _constant(reference: Reference) -> tuple[BoolArray, IndexArray]:
    """Columns whose reference has one value, and the flat bin of that value (of a numeric column, the only one that counts).

    Infinities are out of any range, and no values of it.
    """
    constant, home = [], []
    for index, column in enumerate(reference.columns):
        start = int(reference.layout.starts[index])
        counts = reference.counts[start : start + column.value_bins]
        if isinstance(column, CategoricalColumn):
            constant.append(np.count_nonzero(counts) == 1)
            home.append(start)
        else:
            inner = counts[1:-1] if counts[1:-1].any() else counts
            constant.append(column.points.size > 0 and reference.group_starts[index].size == 1)
            home.append(start + int(np.argmax(inner)) + int(inner.size < counts.size))
    return np.array(constant, dtype=np.bool_), np.array(home, dtype=np.intp)


def _share_effect(
    current: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    reference: npt.NDArray[np.int64],
    reference_rows: npt.NDArray[np.int64],
) -> FloatArray:
    columns = np.arange(rows.size, dtype=np.intp)
    pair = GroupPair(
        Counts(np.stack([reference, reference_rows - reference], axis=1).reshape(-1)),
        Counts(np.stack([current, rows - current], axis=1).reshape(-1)),
        2 * columns,
        np.full_like(columns, 2),
    )
    return excess_of(pair)
