"""What people write without a library: a loop over columns, scipy.stats on raw rows, shares by numpy histograms.

The yardstick of `bench_evaluation.py`. Text is counted with `Counter`, which is faster than `np.unique` on text.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, entropy, ks_2samp, wasserstein_distance

__all__ = ["scipy_loop"]

_DECILES = np.linspace(0, 1, 11)


def scipy_loop(
    reference: Mapping[str, npt.NDArray], window: Mapping[str, npt.NDArray], *, wasserstein: bool = True
) -> dict[str, dict[str, float]]:
    """KS, Wasserstein, chi-square, PSI, KL and JS of every column, with p-values where scipy has them."""
    found = {}
    for name, past in reference.items():
        now = window[name]
        if past.dtype.kind == "f":
            test = ks_2samp(past, now)
            distances = {"ks": test.statistic, "ks_pvalue": test.pvalue}
            if wasserstein:  # by far the slowest: it sorts without AVX
                distances["wasserstein"] = wasserstein_distance(past, now)
            table = _decile_counts(past, now)
        else:
            distances = {}
            table = _category_counts(past, now)
        found[name] = distances | _of_counts(table)
    return found


def _decile_counts(past: npt.NDArray, now: npt.NDArray) -> npt.NDArray:
    inner = np.unique(np.quantile(past, _DECILES)[1:-1])
    edges = np.concatenate([[-np.inf], inner, [np.inf]])
    return np.stack([np.histogram(past, edges)[0], np.histogram(now, edges)[0]])


def _category_counts(past: npt.NDArray, now: npt.NDArray) -> npt.NDArray:
    before, after = Counter(past.tolist()), Counter(now.tolist())
    names = before.keys() | after.keys()
    return np.array([[before[name] for name in names], [after[name] for name in names]])


def _of_counts(table: npt.NDArray) -> dict[str, float]:
    table = table[:, table.sum(axis=0) > 0]
    test = chi2_contingency(table, correction=False)
    q, p = (table + 0.5) / (table + 0.5).sum(axis=1, keepdims=True)
    return {
        "chi2": test.statistic,
        "chi2_pvalue": test.pvalue,
        "psi": float(np.sum((p - q) * np.log(p / q))),
        "kl": float(entropy(p, q)),
        "js": float(jensenshannon(p, q, base=2)),
    }
