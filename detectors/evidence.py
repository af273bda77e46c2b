"""Everything that speaks for or against "nothing changed", for each column of one window.

Four kinds of evidence: the present values (`omnibus`), and the shares of missing, invalid and unseen rows. Each has a p-value
and an effect, in excess PSI, so that one gate serves all. The p-values hold for independent rows (calibration `iid`).
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, Counts, FloatArray
from detectors.binning.layout import Layout
from detectors.columns import CategoricalColumn
from detectors.comparison import Comparer, Comparison, GroupPair
from detectors.ks_null import ks_pvalue
from detectors.pearson import omnibus_pvalue
from detectors.psi import excess_of, psi_excess
from detectors.quality import Quality
from detectors.reference.model import Reference
from detectors.two_bins import share_pvalue, unseen_pvalue

__all__ = ["EVIDENCE", "Evidence", "EvidenceKind", "evidence_of"]

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


def evidence_of(comparer: Comparer, comparison: Comparison, counts: Counts) -> Evidence:
    """Gather the evidence of one window.

    Parameters
    ----------
    comparer : Comparer
    comparison : Comparison
        What `comparer.compare(counts)` gave.
    counts : Counts, shape [n_bins_total]

    Returns
    -------
    Evidence
    """
    reference = comparer.reference
    layout = reference.layout
    now, past = Quality(layout, counts), Quality(layout, reference.counts)
    pvalue, test_groups, tested = omnibus_pvalue(comparison.groups)
    new, new_pvalue = _novelty(reference, layout, now, past)
    n, m = now.present.astype(np.float64), past.present.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = n * m / (n + m)
    return Evidence(
        pvalues=np.stack(
            [
                pvalue,
                share_pvalue(now.missing, now.rows, past.missing, past.rows),
                share_pvalue(now.invalid, now.rows, past.invalid, past.rows),
                new_pvalue,
            ]
        ),
        effects=np.stack(
            [
                psi_excess(comparison),
                _share_effect(now.missing, now.rows, past.missing, past.rows),
                _share_effect(now.invalid, now.rows, past.invalid, past.rows),
                _share_effect(new, now.present, np.zeros_like(new), past.present),
            ]
        ),
        ks=ks_pvalue(comparison),
        test_groups=test_groups,
        tested=tested,
        effective_rows=effective,
        constant=_constant(reference),
        quality=now,
        reference_rows=past.present,
    )


def _constant(reference: Reference) -> BoolArray:
    layout = reference.layout
    filled = np.add.reduceat((reference.counts > 0).astype(np.int64), layout.starts)
    special = (reference.counts[layout.missing] > 0).astype(np.int64) + (reference.counts[layout.invalid] > 0)
    return np.equal(filled - special, 1)


def _novelty(
    reference: Reference, layout: Layout, now: Quality, past: Quality
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Present rows that the reference has no like of: unseen categories, or anything but the one value it had."""
    categorical = [isinstance(column, CategoricalColumn) for column in reference.columns]
    once = np.array([c.once if isinstance(c, CategoricalColumn) else 0 for c in reference.columns], dtype=np.int64)
    twice = np.array([c.twice if isinstance(c, CategoricalColumn) else 0 for c in reference.columns], dtype=np.int64)
    new = np.where(categorical, now.unseen, np.where(_constant(reference), now.out_of_range, 0))
    known = np.where(categorical, 0, past.out_of_range)  # infinities in a reference that is constant otherwise
    pvalue = unseen_pvalue(new, now.present, once + known, twice, past.present)
    return new, np.where(layout.value_bins > 1, pvalue, np.nan)


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
