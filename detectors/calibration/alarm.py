r"""The alarm: how strong the evidence of a window is, as false alarms in 30 days.

.. math:: A = \frac{P}{(\mathrm{hop} / W_{30}) / S}

P is the probability of evidence as strong as this when nothing is wrong (placed by the replay), W30 the base windows of 30
days, and S the number of scales that share the budget; a scale is tested at its hop. Expectations add whatever the
dependence, so firing when A is at most b gives at most b false alarms in 30 days, in expectation, if windows of traffic are
exchangeable with those of the reference in their season.

"Major" is said by a test of a minimum effect: that a change is larger than somebody cares about, not merely not zero.

References
----------
.. [1] Potgieter, van Zyl, Schutte, Lombard (2023), "The Population Resemblance Statistic", arXiv 2307.11878.
.. [2] Wilson, Hilferty (1931), "The distribution of chi-square".
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import chndtr, ndtri

from detectors.arrays import BoolArray, FloatArray
from detectors.calibration.calibrated import Calibration
from detectors.calibration.past import Past
from detectors.calibration.pvalues import Findings, student_of_normal
from detectors.calibration.replay import Replay, spent, strength
from detectors.calibration.traits import KINDS, Traits

__all__ = ["MAJOR_EFFECT", "Alarm", "Judgement", "judgement_of", "smallest_shift"]

MAJOR_EFFECT: Final = 0.02
"""Excess PSI that a major change is surely beyond: about 0.14 standard deviations."""

_MAJOR_SURE: Final = 1e-3
_MAJOR_SCALE: Final = 6
_POWER_Z: Final = 0.84  # of 80 %
_LEAST: Final = 1e-300
_STEPS: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """What one window shows, by column; NaN where it says nothing.

    Parameters
    ----------
    pvalues, effects, direction : ndarray of float64, shape [3, n_columns]
        Of values, missing and invalid, in the order of `KINDS`; direction is standardised, positive is up.
    known : ndarray of bool, shape [3, n_columns]
        Which of them the reference has a spread of; what is not known is to be tested exactly.
    spread : ndarray of float64, shape [n_columns]
        Standardised change of how far values spread; positive is wider.
    location, scale, omnibus : ndarray of float64, shape [n_columns]
        P-values that those of the values were combined from.
    effective_rows : ndarray of float64, shape [n_columns]
        Independent rows against a known distribution that the window is worth, for its location.
    effective_dof : ndarray of float64, shape [n_columns]
        Degrees of freedom that they are known with.
    test_groups : ndarray of int64, shape [n_columns]
        Groups after merging, 0 where values were not tested.
    major : ndarray of bool, shape [3, n_columns]
        Whether the change is surely larger than `MAJOR_EFFECT`.
    """

    pvalues: FloatArray
    effects: FloatArray
    direction: FloatArray
    known: BoolArray
    spread: FloatArray
    location: FloatArray
    scale: FloatArray
    omnibus: FloatArray
    effective_rows: FloatArray
    effective_dof: FloatArray
    test_groups: npt.NDArray[np.int64]
    major: BoolArray


class Alarm:
    """Judges windows of traffic.

    Parameters
    ----------
    past : Past
    replay : Replay or None
        Without one, evidence is taken at its word.
    n_columns : int
    """

    def __init__(self, past: Past, replay: Replay | None, n_columns: int) -> None:
        self.past = past
        self.replay = replay
        self._calibration = Calibration(past)
        self._n_columns = n_columns
        self._lines: dict[tuple[int, float], float] = {}

    @property
    def scales(self) -> tuple[int, ...]:
        """Scales that the reference is long enough for."""
        return self.past.scales

    def judge(self, segments: npt.NDArray[np.int64], hours: npt.NDArray[np.int64], scale: int) -> Judgement:
        """Judge one window.

        Parameters
        ----------
        segments : ndarray of int64, shape [n_base_windows, n_segments]
            Counts of its base windows with rows, see `Reference.segments`.
        hours : ndarray of int64, shape [n_base_windows]
            Hour of the week at which each begins, in the model's time zone.
        scale : int
            One of `scales`.

        Returns
        -------
        Judgement
        """
        found = self._calibration.window(
            self.past.traits.groups(segments), self.past.strata(hours), lambda fit: fit.variability[scale]
        )
        may_be_major = scale >= min(_MAJOR_SCALE, max(self.scales))
        return judgement_of(found, self.past.traits, self._n_columns, may_be_major=may_be_major)

    def rate(self, pvalues: FloatArray, effects: FloatArray, effect_threshold: float, scale: int) -> float:
        """False alarms in 30 days at the strength of this evidence.

        Parameters
        ----------
        pvalues, effects : ndarray of float64, shape [n_tests]
            NaN for those that could not be made.
        effect_threshold : float
        scale : int

        Returns
        -------
        float
            NaN where nothing could be tested.
        """
        evidence = strength(pvalues, effects, effect_threshold)
        placed = evidence if self.replay is None else self.replay.tables[scale].placed(evidence)
        return float(placed) / spent(scale, self.past)

    def line(self, budget: float, n_tests: int, scale: int) -> float:
        """P-value at or below which a test, one of so many, is evidence enough for an alarm.

        Parameters
        ----------
        budget : float
            False alarms in 30 days.
        n_tests : int
        scale : int
        """
        key = scale, budget
        if key not in self._lines:
            self._lines[key] = self._line(budget * spent(scale, self.past), scale)
        return self._lines[key] / max(n_tests, 1)

    def _line(self, probability: float, scale: int) -> float:
        if self.replay is None:
            return min(probability, 1.0)
        table = self.replay.tables[scale]
        low, high = np.log(_LEAST), 0.0
        for _ in range(_STEPS):
            middle = (low + high) / 2
            if float(table.placed(np.exp(middle))) <= probability:
                low = middle
            else:
                high = middle
        return float(np.exp(low))


def smallest_shift(
    judgement: Judgement, numeric: BoolArray, line: float, effect_threshold: float, trivial_shift: float = 0.0
) -> FloatArray:
    r"""Shift of the mean, in standard deviations of the reference, that this window would show four times in five.

    .. math:: d_{80} = (\varepsilon + (t_c + 0.84) \sqrt{V_1}) / c_1, \quad c_1 = 0.967 \text{ for deciles}

    or what passes the effect gate as often, whichever is larger; t_c has the degrees of freedom of V_1, and epsilon is the
    trivial shift.

    Returns
    -------
    ndarray of float64, shape [n_columns]
        NaN for columns without an order, or without a test, or where no shift would do.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(1 / judgement.effective_rows)
        critical = student_of_normal(-ndtri(max(line, _LEAST) / 6), judgement.effective_dof)
        by_test = trivial_shift + (critical + _POWER_Z) * error
        by_gate = np.sqrt(effect_threshold) + _POWER_Z * error
        shift = np.maximum(by_test, by_gate) / _steepness(judgement.test_groups)
    return np.where(numeric & np.isfinite(shift), shift, np.nan)


def judgement_of(found: Findings, traits: Traits, n_columns: int, *, may_be_major: bool) -> Judgement:
    """Findings of one window, by column."""
    place = traits.kind, traits.column

    def by_column(values: FloatArray) -> FloatArray:
        result = np.full((len(KINDS), n_columns), np.nan)
        result[place] = values
        return result

    groups = by_column(np.where(found.axes[0] > 0, found.axes[0] + 1, 0))[0]
    return Judgement(
        pvalues=by_column(found.pvalue[0]),
        effects=by_column(found.effect[0]),
        direction=by_column(found.direction[0]),
        known=~np.isnan(by_column(np.ones(traits.kind.size))),
        spread=by_column(found.spread[0])[0],
        location=by_column(found.location[0])[0],
        scale=by_column(found.scale[0])[0],
        omnibus=by_column(found.omnibus[0])[0],
        effective_rows=1 / by_column(found.variance[0])[0],
        effective_dof=by_column(found.variance_dof[0])[0],
        test_groups=np.nan_to_num(groups).astype(np.int64),
        major=by_column((_surely_beyond(found, MAJOR_EFFECT) & may_be_major).astype(np.float64)) == 1,
    )


def _surely_beyond(found: Findings, effect: float) -> BoolArray:
    r"""Whether a window's change is larger than an effect, but for a chance of `_MAJOR_SURE`; shape [n_traits].

    .. math:: P(\chi'^2_\nu(\tfrac{\nu}{J} \delta / V) \ge \tfrac{\nu}{J} \sum d_j^2 / V) < \alpha / 2

    where V is the least variance at the upper end of what it may be, so sure is it, by half of the chance: z would not do in
    place of t, for the step from Student to normal squeezes a large effect to less than :math:`\delta / V`.
    """
    v = np.nan_to_num(found.least_dof[0], nan=1.0)
    least = np.maximum(1 - 2 / (9 * v) + ndtri(_MAJOR_SURE / 2) * np.sqrt(2 / (9 * v)), 0.0) ** 3  # of chi^2_v / v [2]_
    share = least * found.dof[0] / np.maximum(found.axes[0], 1)
    with np.errstate(invalid="ignore"):
        inside = chndtr(share * found.square[0], found.dof[0], share * effect / found.least_variance[0])
        return np.asarray(1 - inside < _MAJOR_SURE / 2)


def _steepness(groups: npt.NDArray[np.int64]) -> FloatArray:
    r""":math:`c_1 = \sum_k \Phi_{1k} (\varphi(z_{k-1}) - \varphi(z_k))` for equal groups of a normal column."""
    known = {size: _steepness_of(size) for size in np.unique(groups).tolist()}
    return np.array([known[size] for size in groups.tolist()])


def _steepness_of(groups: int) -> float:
    if groups < 2:  # noqa: PLR2004 - nothing can move between fewer than two groups
        return float("nan")
    z = ndtri(np.arange(1, groups) / groups)
    density = np.concatenate([[0.0], np.exp(-0.5 * np.square(z)) / np.sqrt(2 * np.pi), [0.0]])
    slope = np.arange(groups) - (groups - 1) / 2
    slope /= np.sqrt(np.mean(np.square(slope)))
    return float((slope * (density[:-1] - density[1:])).sum())
