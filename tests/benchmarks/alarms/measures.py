"""What other tools measure between an hour and the reference, for all hours and columns at once.

Everything is computed from cells (`tests/benchmarks/alarms/cells.py`), so on the values that the tools would see: KS and
Wasserstein are exact. Missing values are left out, as the tools do. The formulas are those of the tools' sources, as listed in
`tests/benchmarks/alarms/peers.py`; p-values are kept as logarithms, so that a threshold can be set where they underflow.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from folding import SPECIAL_CELLS
from scipy.special import gammaincc, gammaln, kolmogorov, rel_entr
from streams import Stream

__all__ = ["Gauge", "Measures", "doane_edges", "log_chi2_tail", "log_ks_tail"]

Floats = npt.NDArray[np.float64]

_EQUAL_WIDTHS = 10
_DISTINCT_BINNED = 50  # NannyML compares value by value up to here
_RARE_SHARE = 0.01  # deepchecks pools rarer categories
_EMPTY_SHARE = 1e-4  # what stands for a share of zero in PSI
_SMALLEST_TAIL = 1e-280


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measures:
    """Measures of each hour and column, all of shape [n_windows, n_columns]; NaN where one does not apply.

    Parameters
    ----------
    numeric : ndarray of bool, shape [n_columns]
    rows, reference_rows : ndarray of float64
        That are not missing.
    ks, wasserstein : ndarray of float64
        Of numeric columns; Wasserstein in standard deviations of the reference.
    js_distance : ndarray of float64
        Base 2, in Doane's bins of the reference or value by value.
    js_equal_widths : ndarray of float64
        Divergence, base 2, of numeric columns in ten bins of equal width.
    l_infinity, cramers_v : ndarray of float64
        Of categorical columns; V of samples brought to the same size, less its bias.
    psi, log_chi2_pvalue : ndarray of float64
        In deciles, or category by category; two samples.
    log_pvalue : ndarray of float64
        Of KS for numeric columns, of chi-square for others.
    mean, deviation : ndarray of float64
        Of numeric columns.
    """

    numeric: npt.NDArray[np.bool_]
    rows: Floats
    reference_rows: Floats
    ks: Floats
    wasserstein: Floats
    js_distance: Floats
    js_equal_widths: Floats
    l_infinity: Floats
    cramers_v: Floats
    psi: Floats
    log_chi2_pvalue: Floats
    log_pvalue: Floats
    mean: Floats
    deviation: Floats


class Gauge:
    """Measures hours against a reference.

    Parameters
    ----------
    reference : Stream
    """

    def __init__(self, reference: Stream) -> None:
        self._offsets = reference.cell_offsets
        self._group_offsets = reference.offsets
        self._numeric = reference.numeric
        self._cells = reference.cells.sum(axis=0, dtype=np.float64)
        self._groups = reference.counts.sum(axis=0).astype(np.float64)
        self._values = reference.cell_values
        self._doane, self._widths = [], []
        for index, numeric in enumerate(self._numeric):
            values, counts = self._values[self._span(index)], self._cells[self._span(index)]
            seen = counts > 0
            one_each = not numeric or np.count_nonzero(seen) <= _DISTINCT_BINNED
            edges = None if one_each else doane_edges(values[seen], counts[seen])
            self._doane.append(_indicator(values, seen, edges))
            equal = np.linspace(values[seen][0], values[seen][-1], _EQUAL_WIDTHS + 1)
            self._widths.append(_indicator(values, seen, equal) if numeric else None)

    def measure(self, stream: Stream) -> Measures:
        """Measure every hour of a stream that has the reference's cells and groups."""
        columns = [self._column(index, stream) for index in range(self._numeric.size)]
        names = columns[0].keys() | columns[-1].keys()
        nothing = np.full(stream.rows.size, np.nan)
        table = {name: np.stack([column.get(name, nothing) for column in columns], axis=1) for name in names}
        return Measures(numeric=self._numeric, **table)

    def _span(self, index: int) -> slice:
        return slice(self._offsets[index], self._offsets[index + 1] - SPECIAL_CELLS)

    def _column(self, index: int, stream: Stream) -> dict[str, Floats]:
        counts, reference = stream.cells[:, self._span(index)].astype(np.float64), self._cells[self._span(index)]
        groups = slice(self._group_offsets[index], self._group_offsets[index + 1] - SPECIAL_CELLS)
        rows, reference_rows = counts.sum(axis=1), reference.sum()
        shares, reference_shares = counts / rows[:, None], reference / reference_rows
        in_groups, reference_in_groups = stream.counts[:, groups].astype(np.float64), self._groups[groups]
        doane = self._doane[index]
        found = {
            "rows": rows,
            "reference_rows": np.full(rows.size, reference_rows),
            "js_distance": np.sqrt(_js_divergence(shares @ doane, reference_shares @ doane)),
            "psi": _psi(in_groups / rows[:, None], reference_in_groups / reference_rows),
            "log_chi2_pvalue": _log_chi2_pvalue(in_groups, reference_in_groups),
        }
        more = self._numbers if self._numeric[index] else self._categories
        return found | more(index, shares, reference_shares, found)

    def _numbers(self, index: int, shares: Floats, reference: Floats, found: dict[str, Floats]) -> dict[str, Floats]:
        values, widths = self._values[self._span(index)], self._widths[index]
        apart = np.abs(np.cumsum(shares, axis=1) - np.cumsum(reference))
        ks = apart.max(axis=1)
        mean = shares @ values
        rows, reference_rows = found["rows"], found["reference_rows"]
        return {
            "ks": ks,
            "log_pvalue": log_ks_tail(ks, rows * reference_rows / (rows + reference_rows)),
            "wasserstein": apart[:, :-1] @ np.diff(values) / _deviation(reference, values),
            "js_equal_widths": _js_divergence(shares @ widths, reference @ widths),
            "mean": mean,
            "deviation": _deviation(shares, values),
        }

    def _categories(self, _: int, shares: Floats, reference: Floats, found: dict[str, Floats]) -> dict[str, Floats]:
        return {
            "l_infinity": np.abs(shares - reference).max(axis=1),
            "cramers_v": _cramers_v(shares, reference, found["rows"]),
            "log_pvalue": found["log_chi2_pvalue"],
        }


def doane_edges(values: Floats, counts: Floats) -> Floats:
    """Edges of `numpy.histogram_bin_edges(..., bins="doane")` for values that occur so often."""
    n = counts.sum()
    mean = values @ counts / n
    deviation = np.sqrt(np.square(values - mean) @ counts / n)
    skew = abs(((values - mean) / deviation) ** 3 @ counts / n)
    error = np.sqrt(6 * (n - 2) / ((n + 1) * (n + 3)))
    width = np.ptp(values) / (1 + np.log2(n) + np.log2(1 + skew / error))
    return np.linspace(values[0], values[-1], int(np.ceil(np.ptp(values) / width)) + 1)


def log_ks_tail(ks: Floats, rows: Floats) -> Floats:
    """Logarithm of the two-sided p-value of KS with so many effective rows (Stephens 1970; its first term far out)."""
    root = np.sqrt(rows)
    x = (root + 0.12 + 0.11 / root) * ks
    tail = np.maximum(kolmogorov(x), _SMALLEST_TAIL)
    return np.where(x > 3, np.log(2) - 2 * x**2, np.log(tail))


def log_chi2_tail(statistic: Floats, dof: Floats) -> Floats:
    """Logarithm of the upper tail of chi-square; two terms of its expansion where it underflows."""
    half, x = dof / 2, statistic / 2
    tail = gammaincc(half, x)
    far = np.maximum(x, 1.0)
    expanded = (half - 1) * np.log(far) - far - gammaln(half) + np.log1p(np.maximum(half - 1, 0) / far)
    return np.where(tail > _SMALLEST_TAIL, np.log(np.maximum(tail, _SMALLEST_TAIL)), expanded)


def _indicator(values: Floats, seen: npt.NDArray[np.bool_], edges: Floats | None) -> Floats:
    """Which cell lies in which bin, [n_cells, n_bins]; the last bin is for what the reference's bins do not cover."""
    if edges is None:
        place = np.where(seen, np.cumsum(seen) - 1, np.count_nonzero(seen))
        n_bins = np.count_nonzero(seen)
    else:
        n_bins = edges.size - 1
        place = np.minimum(np.searchsorted(edges, values, side="right") - 1, n_bins - 1)
        place = np.where((values < edges[0]) | (values > edges[-1]), n_bins, place)
    return np.eye(n_bins + 1)[place]


def _js_divergence(shares: Floats, reference: Floats) -> Floats:
    middle = (shares + reference) / 2
    both = rel_entr(shares, middle) + rel_entr(reference, middle)
    return np.maximum(both.sum(axis=1), 0) / (2 * np.log(2))


def _psi(shares: Floats, reference: Floats) -> Floats:
    shares, reference = (np.where(part > 0, part, _EMPTY_SHARE) for part in (shares, reference))
    return ((shares - reference) * np.log(shares / reference)).sum(axis=1)


def _log_chi2_pvalue(counts: Floats, reference: Floats) -> Floats:
    n, m = counts.sum(axis=1, keepdims=True), reference.sum()
    both = counts + reference
    terms = np.square(counts * np.sqrt(m / n) - reference * np.sqrt(n / m)) / np.where(both > 0, both, 1)
    return log_chi2_tail(terms.sum(axis=1), np.maximum(np.count_nonzero(both, axis=1) - 1.0, 1))


def _cramers_v(shares: Floats, reference: Floats, rows: Floats) -> Floats:
    rare = reference < _RARE_SHARE
    shares, reference = (
        np.concatenate([part[..., ~rare], part[..., rare].sum(axis=-1, keepdims=True)], axis=-1)
        for part in (shares, reference)
    )
    counts, scaled = np.rint(shares * rows[:, None]), np.rint(reference * rows[:, None])
    n, m = counts.sum(axis=1, keepdims=True), scaled.sum(axis=1, keepdims=True)
    both = counts + scaled
    terms = np.square(counts * np.sqrt(m / n) - scaled * np.sqrt(n / m)) / np.where(both > 0, both, 1)
    total, k = (n + m)[:, 0], np.count_nonzero(both, axis=1)
    phi = np.maximum(terms.sum(axis=1) / total - (k - 1) / (total - 1), 0)
    return np.sqrt(phi / np.minimum(k - 1 - (k - 1) ** 2 / (total - 1), 1 - 1 / (total - 1)))


def _deviation(shares: Floats, values: Floats) -> Floats:
    mean = shares @ values
    return np.sqrt(np.maximum(shares @ np.square(values) - np.square(mean), 0))
