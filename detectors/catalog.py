"""The closed list of displayed statistics. Their names are those of CONTRACTS, and nothing registers itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from detectors.anderson_darling import anderson_darling
from detectors.arrays import FloatArray
from detectors.chi2 import chi2
from detectors.comparison import Comparison
from detectors.cramer_von_mises import cramer_von_mises
from detectors.g import g
from detectors.hellinger import hellinger
from detectors.js import js_distance
from detectors.kl import kl
from detectors.ks import ks, ks_upper
from detectors.l_infinity import l_infinity
from detectors.psi import psi, psi_excess
from detectors.total_variation import total_variation
from detectors.wasserstein import wasserstein, wasserstein_normed

__all__ = ["CATALOG", "Detector", "statistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """A named statistic.

    Parameters
    ----------
    name : str
    compute : callable
        From a Comparison to float64 [..., n_columns].
    reads : {"groups", "bins"}
        Statistics on fine bins exist for numeric columns only.
    symmetric : bool
        Whether exchanging window and reference leaves it unchanged, given the same bins.
    """

    name: str
    compute: Callable[[Comparison], FloatArray]
    reads: Literal["groups", "bins"]
    symmetric: bool


CATALOG: Final = (
    # Smoothing shrinks the window towards the reference, so PSI is symmetric only as the rows grow.
    Detector(name="psi", compute=psi, reads="groups", symmetric=False),
    Detector(name="psi_excess", compute=psi_excess, reads="groups", symmetric=False),
    Detector(name="kl", compute=kl, reads="groups", symmetric=False),
    Detector(name="js_distance", compute=js_distance, reads="groups", symmetric=True),
    Detector(name="hellinger", compute=hellinger, reads="groups", symmetric=True),
    Detector(name="total_variation", compute=total_variation, reads="groups", symmetric=True),
    Detector(name="l_infinity", compute=l_infinity, reads="groups", symmetric=True),
    Detector(name="chi2", compute=chi2, reads="groups", symmetric=True),
    Detector(name="g", compute=g, reads="groups", symmetric=True),
    Detector(name="ks", compute=ks, reads="bins", symmetric=True),
    Detector(name="ks_upper", compute=ks_upper, reads="bins", symmetric=True),
    Detector(name="wasserstein", compute=wasserstein, reads="bins", symmetric=True),
    Detector(name="wasserstein_normed", compute=wasserstein_normed, reads="bins", symmetric=True),
    Detector(name="cramer_von_mises", compute=cramer_von_mises, reads="bins", symmetric=True),
    Detector(name="anderson_darling", compute=anderson_darling, reads="bins", symmetric=True),
)


def statistics(comparison: Comparison) -> dict[str, FloatArray]:
    """Every statistic of every column.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    dict of str to ndarray of float64, shape [..., n_columns]
        In the order of the catalogue; NaN where a statistic does not exist.
    """
    return {detector.name: detector.compute(comparison) for detector in CATALOG}
