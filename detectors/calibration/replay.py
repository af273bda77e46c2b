r"""Replay: what the alarm would have said of the reference, had it not known the day it looked at.

Each day of the reference (each week, for daily windows) is held out in turn; a calibration that has not seen it scores its
windows. The evidence p of the windows of traffic is then placed among those: in the body by its rank,

.. math:: P = \frac{1 + \#\{p_i \le p\}}{W + 1}

(which is valid if the window is exchangeable with them, whatever the distribution), and below the smallest tenth, p_u, by
the predictive tail of a Pareto distribution whose slope has been learned from k' independent exceedances with a prior that
is worth five:

.. math:: P = \zeta \left(1 + \frac{\ln(p_u / p)}{S' + 5}\right)^{-(k' + 5)}

The rate of an evidence is the number of false alarms in 30 days that evidence as strong as this would give, if the scales
share them equally.

References
----------
.. [1] Vovk, Gammerman, Shafer (2005), "Algorithmic Learning in a Random World", section 2.2.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray
from detectors.calibration.calibrated import Calibration
from detectors.calibration.past import Past

__all__ = ["Mapper", "Replay", "Score", "Scored", "Table", "hop_of", "replay", "spent", "strength"]

_PRIOR: Final = 5.0
_TAIL: Final = 0.1
_FOLDS_MAX: Final = 60
_DAY_S: Final = 86_400
_LEAST: Final = 1e-300

Score: TypeAlias = Callable[[int], list["Scored"]]
"""Scores a fold."""

Mapper: TypeAlias = Callable[[Score, Iterable[int]], Iterable[list["Scored"]]]
"""`map`, or that of a pool."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """Held-out windows of one scale in one fold.

    Parameters
    ----------
    scale : int
    ends : ndarray of int64
        Place of the last base window of each.
    evidence : ndarray of float64
    independent : float
        How many windows without overlap they come to.
    """

    scale: int
    ends: npt.NDArray[np.int64]
    evidence: FloatArray
    independent: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Evidence of the held-out windows of one scale.

    Parameters
    ----------
    evidence : ndarray of float64
        Ascending.
    independent : float
        How many windows without overlap they come to.
    """

    evidence: FloatArray
    independent: float

    def placed(self, evidence: FloatArray) -> FloatArray:
        """Probability of evidence as strong as this or stronger, when nothing is wrong."""
        known = self.evidence
        k = int(_TAIL * known.size)
        if known[k] >= 1:
            # The gate has cut more than that: the tail begins at the weakest evidence there is.
            k = max(int(np.searchsorted(known, 1.0)) - 1, 0)
        line = max(float(known[k]), _LEAST)
        ratio = self.independent / known.size
        beyond = np.log(line / np.maximum(known[:k], _LEAST)).sum() * ratio
        exceedances = k * ratio
        tail = (
            (k + 1)
            / (known.size + 1)
            * (1 + np.log(line / np.clip(evidence, _LEAST, line)) / (max(beyond, exceedances) + _PRIOR))
            ** -(exceedances + _PRIOR)
        )
        body = (np.searchsorted(known, evidence, side="right") + 1) / (known.size + 1)
        return np.where(np.isnan(evidence), np.nan, np.where(evidence < line, tail, np.minimum(body, 1.0)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replay:
    """A replay of the reference.

    Parameters
    ----------
    tables : mapping of int to Table
        By scale.
    rates : ndarray of float64, shape [n_base_windows]
        False alarms in 30 days at the strength of the evidence at the end of each base window, placed among the other
        folds; NaN where nothing was tested.
    """

    tables: Mapping[int, Table]
    rates: FloatArray


def hop_of(scale: int) -> int:
    """A scale is tested, and spends, every so many base windows."""
    return max(1, scale // 4)


def strength(pvalues: FloatArray, effects: FloatArray, effect_threshold: float) -> FloatArray:
    """Evidence of windows: the smallest p-value whose effect passes the gate, times the number of p-values.

    Parameters
    ----------
    pvalues, effects : ndarray of float64, shape [..., n_tests]
        NaN where there is nothing to test.
    effect_threshold : float

    Returns
    -------
    ndarray of float64, shape [...]
        At most 1; NaN where nothing could be tested.
    """
    given = ~np.isnan(pvalues)
    with np.errstate(invalid="ignore"):
        counted = np.where(given & (effects > effect_threshold), pvalues, 1.0)
    evidence = np.minimum(counted.min(axis=-1, initial=1.0) * given.sum(axis=-1), 1.0)
    return np.where(given.any(axis=-1), evidence, np.nan)


def replay(past: Past, *, effect_threshold: float, mapper: Mapper = map) -> Replay | None:
    """Score each day of the reference by a calibration that has not seen it.

    Parameters
    ----------
    past : Past
    effect_threshold : float
        Gate of the evidence, as in `strength`.
    mapper : callable
        `map`, or that of a pool: the folds are independent of one another.

    Returns
    -------
    Replay or None
        None if the reference is too short to hold a fold out.
    """
    length = _fold_length(past)
    folds = np.unique(past.places // length)
    if not past.scales or folds.size < 3:  # noqa: PLR2004 - one to hold out, two to compare
        return None
    scored = list(mapper(partial(_score_fold, past, length, effect_threshold), folds.tolist()))
    tables = _tables(scored, past)
    rates = np.full(int(past.places[-1]) + 1, np.nan)
    for fold, own in enumerate(scored):
        others = _tables(scored[:fold] + scored[fold + 1 :], past)
        for some in own:
            rate = others[some.scale].placed(some.evidence) / spent(some.scale, past)
            rates[some.ends] = np.fmin(rates[some.ends], rate)
    return Replay(tables=tables, rates=rates)


def spent(scale: int, past: Past) -> float:
    """Share of a budget for 30 days that one test at a scale spends."""
    return hop_of(scale) * past.base_s / (30 * _DAY_S) / len(past.scales)


def _fold_length(past: Past) -> int:
    day = max(1, _DAY_S // past.base_s) if past.base_s < _DAY_S else 7
    length = day * -(-max(past.scales, default=1) // day)
    days = -(-(int(past.places[-1]) + 1) // length)
    return length * -(-days // _FOLDS_MAX)


def _score_fold(past: Past, length: int, effect_threshold: float, fold: int) -> list[Scored]:
    held_out = past.places // length == fold
    inside = past.places[held_out] - fold * length
    n = min(length, int(past.places[-1]) + 1 - fold * length)
    groups = np.zeros((n, past.groups.shape[1]), dtype=np.int64)
    of_window = np.zeros(n, dtype=np.int64)
    groups[inside], of_window[inside] = past.groups[held_out], past.of_window[held_out]
    calibration = Calibration(past, held_out)
    scored = []
    for scale in past.scales:
        ends = np.arange(scale - 1, n)
        ends = ends[(ends + 1 + fold * length) % hop_of(scale) == 0]
        if scale == 1:
            ends = inside  # a window that nothing is in is not tested
        if not ends.size:
            continue
        found = calibration.rolling(groups, of_window, scale=scale, ends=ends)
        evidence = strength(found.pvalue, found.effect, effect_threshold)
        tested = ~np.isnan(evidence)
        scored.append(
            Scored(
                scale=scale,
                ends=ends[tested] + fold * length,
                evidence=evidence[tested],
                independent=(n // scale) * float(tested.sum()) / ends.size,
            )
        )
    return scored


def _tables(scored: Iterable[list[Scored]], past: Past) -> dict[int, Table]:
    every = [some for fold in scored for some in fold]
    tables = {}
    for scale in past.scales:
        own = [some for some in every if some.scale == scale]
        evidence = np.sort(np.concatenate([np.empty(0), *(some.evidence for some in own)]))
        # A scale at which every window had too few rows was not tested: one line of evidence that says nothing.
        evidence = evidence if evidence.size else np.ones(1)
        tables[scale] = Table(evidence=evidence, independent=sum(some.independent for some in own))
    return tables
