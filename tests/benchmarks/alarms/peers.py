"""The rules of other tools, at their defaults: each scores an hour by its worst column, as score over threshold.

============ ============================================================= ==================================================
rule         numeric columns; categorical columns                          source
============ ============================================================= ==================================================
Evidently    W / sd >= .1; JS distance, base e, >= .1                      stattests/registry.py, over 1,000 reference rows
... half     half of the columns drifted                                   presets, `drift_share`
KS, chi2     p <= .05 in any column                                        Evidently up to 1,000 rows, whylogs
alibi-detect p <= .05 over the number of columns                           cd/tabular.py
NannyML      JS distance, base 2, > mean + 3 sd of the reference's hours   drift/univariate/methods.py, thresholds.py
Vertex AI    JS divergence, base 2, in ten equal widths > .3; L-inf > .3   notebooks; TFDV anomalies/metrics.cc
SageMaker    KS or L-inf less 1.8 sqrt(1/n + 1/m) > .1                     Deequ analyzers/Distance.scala
deepchecks   KS > .2; Cramer's V without bias > .2                         utils/distribution/drift.py
PSI          PSI > .1 and PSI > .2, deciles or categories, 1e-4 for zero   the folklore
popmon       7 sigma (red)                                                 config.py
============ ============================================================= ==================================================

Simplified: popmon is here the pull of the hourly mean and of the hourly standard deviation, in standard deviations of the
reference's hours, and the p-values of KS and of chi-square (deciles, categories) as normal deviates; it has more profiles and
its own bins. NannyML's chunks are the hours, not its default of ten chunks, whose sd of ten values would be a lottery.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from measures import Gauge, Measures
from rules import Verdicts
from scipy.special import ndtri_exp
from streams import Stream, World

__all__ = ["RULES", "Fitted", "fit"]

Scores = npt.NDArray[np.float64]


class Fitted:
    """The rules of others, knowing a reference."""

    def __init__(self, reference: Stream) -> None:
        self._gauge = Gauge(reference)
        self._own = self._gauge.measure(reference)

    def score(self, stream: Stream) -> Mapping[str, Verdicts]:
        """Score each hour by each rule."""
        measures = self._gauge.measure(stream)
        found = {name: rule(measures, self._own) for name, rule in RULES.items()}
        return {name: Verdicts(fires=scores >= 1, scores=scores) for name, scores in found.items()}


def fit(world: World) -> Fitted:
    """Measure the reference of a world against itself."""
    return Fitted(world.reference)


def evidently(now: Measures, _: Measures) -> Scores:
    """Any column beyond .1."""
    return _evidently_columns(now).max(axis=1)


def evidently_half(now: Measures, _: Measures) -> Scores:
    """Half of the columns beyond .1: the score of the column that makes it half."""
    columns = np.sort(_evidently_columns(now), axis=1)
    return columns[:, -((columns.shape[1] + 1) // 2)]


def ks_chi2(now: Measures, _: Measures) -> Scores:
    """Any p-value at most .05."""
    return now.log_pvalue.min(axis=1) / np.log(0.05)


def alibi_detect(now: Measures, _: Measures) -> Scores:
    """Any p-value at most .05 over the number of columns."""
    return now.log_pvalue.min(axis=1) / np.log(0.05 / now.numeric.size)


def nannyml(now: Measures, own: Measures) -> Scores:
    """JS distance in standard deviations of the reference's hours."""
    z = (now.js_distance - own.js_distance.mean(axis=0)) / own.js_distance.std(axis=0)
    return z.max(axis=1) / 3


def vertex(now: Measures, _: Measures) -> Scores:
    """JS divergence, L-infinity."""
    return np.where(now.numeric, now.js_equal_widths, now.l_infinity).max(axis=1) / 0.3


def sagemaker(now: Measures, _: Measures) -> Scores:
    """KS, L-infinity, less what few rows do to them; below zero too, which only an oracle can use."""
    distance = np.where(now.numeric, now.ks, now.l_infinity)
    return (distance - 1.8 * np.sqrt(1 / now.rows + 1 / now.reference_rows)).max(axis=1) / 0.1


def deepchecks(now: Measures, _: Measures) -> Scores:
    """KS, Cramer's V."""
    return np.where(now.numeric, now.ks, now.cramers_v).max(axis=1) / 0.2


def psi_01(now: Measures, _: Measures) -> Scores:
    """PSI over .1."""
    return now.psi.max(axis=1) / 0.1


def psi_02(now: Measures, _: Measures) -> Scores:
    """PSI over .2."""
    return now.psi.max(axis=1) / 0.2


def popmon(now: Measures, own: Measures) -> Scores:
    """Pulls of the mean and the deviation, and normal deviates of KS and chi-square."""
    pulls = [
        np.abs(at - usual.mean(axis=0)) / usual.std(axis=0)
        for at, usual in ((now.mean, own.mean), (now.deviation, own.deviation))
    ]
    deviates = [-ndtri_exp(np.minimum(log, -1e-300)) for log in (now.log_pvalue, now.log_chi2_pvalue)]
    return np.fmax.reduce([*pulls, *deviates]).max(axis=1) / 7


RULES: Mapping[str, Callable[[Measures, Measures], Scores]] = {
    "Evidently": evidently,
    "Evidently, half of columns": evidently_half,
    "KS/chi2 p <= .05": ks_chi2,
    "alibi-detect": alibi_detect,
    "NannyML": nannyml,
    "Vertex AI": vertex,
    "SageMaker": sagemaker,
    "deepchecks": deepchecks,
    "PSI > .1": psi_01,
    "PSI > .2": psi_02,
    "popmon, red": popmon,
}


def _evidently_columns(now: Measures) -> Scores:
    base_e = now.js_distance * np.sqrt(np.log(2))
    return np.where(now.numeric, now.wasserstein, base_e) / 0.1
