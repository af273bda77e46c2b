r"""From what a window shows beyond expectation to p-values, effects and directions.

.. math:: t = d / \sqrt{V}, \quad
   z = \mathrm{sign}(t) \frac{8 v + 1}{8 v + 3} \sqrt{v \ln(1 + t^2 / v)}

(a Student t of v degrees of freedom made normal) for each axis; location and scale are two-sided normal, the omnibus is
:math:`P(\chi^2_\nu > (\nu / J) \sum z_j^2)` over the principal axes, and the values of a numeric column have the Cauchy
combination of the three. A share with fewer than ten expected rows is tested by the binomial distribution at its effective
rows: there the tails are far from normal.

References
----------
.. [1] Wallace (1959), "Bounds on normal approximations to Student's and the chi-square distributions", section 3.
.. [2] Liu, Xie (2020), "Cauchy combination test", eq. 3.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import betainc, chdtrc, ndtr

from detectors.arrays import BoolArray, FloatArray
from detectors.calibration.traits import Traits
from detectors.calibration.variability import Axes, Variability

__all__ = ["Findings", "cauchy", "findings", "normal_of_student", "student_of_normal"]

_EXPECTED_MIN: Final = 10.0
_SMALL: Final = 1e-14  # below, 1 / (pi p) is the cotangent to a double's precision
_LARGEST: Final = 1 - 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """What windows show of each trait; all of shape [n_windows, n_traits], NaN where there are too few rows.

    Parameters
    ----------
    pvalue : ndarray of float64
    location, scale, omnibus : ndarray of float64
        The p-values it was combined from; location and scale NaN without an order.
    effect : ndarray of float64
        Pearson's distance beyond what windows naturally differ by; near zero the excess PSI. Never negative.
    direction : ndarray of float64
        Standardised location (of a share: the share itself); positive is up.
    spread : ndarray of float64
        Standardised scale; positive is wider.
    variance, variance_dof : ndarray of float64
        V of the location, or of the leading axis, and the degrees of freedom it was estimated with.
    square : ndarray of float64
        Sum of t^2 over the principal axes.
    least_variance, least_dof : ndarray of float64
        The least V among them, and the fewest degrees of freedom that one was estimated with.
    axes, dof : ndarray of float64
        Number of principal axes, and the degrees of freedom of their sum of squares.
    """

    pvalue: FloatArray
    location: FloatArray
    scale: FloatArray
    omnibus: FloatArray
    effect: FloatArray
    direction: FloatArray
    spread: FloatArray
    variance: FloatArray
    variance_dof: FloatArray
    square: FloatArray
    least_variance: FloatArray
    least_dof: FloatArray
    axes: FloatArray
    dof: FloatArray


def findings(
    excess: FloatArray,
    rows: FloatArray,
    traits: Traits,
    axes: Axes,
    variability: Variability,
    *,
    rows_min: int,
    trivial_shift: float = 0.0,
) -> Findings:
    """What windows show.

    Parameters
    ----------
    excess : ndarray of float64, shape [n_windows, n_axes]
        Sums over the rows of a window, less what was expected.
    rows : ndarray of float64, shape [n_windows, n_traits]
    traits : Traits
    axes : Axes
    variability : Variability
        Of windows of this scale.
    rows_min : int
        With fewer rows nothing is said.
    trivial_shift : float
        A shift of so many standard deviations is no evidence; p-values are those of "at most that".
    """
    sizes = axes.turn.sizes
    difference = excess * np.repeat(1 / np.maximum(rows, 1.0), sizes, axis=-1)
    variance = variability.variance(rows, sizes)
    z = normal_of_student(_beyond(difference, trivial_shift, traits, axes) / np.sqrt(variance), variability.dof)
    nu = variability.omnibus_dof
    principal = _principal(variance, axes)
    omnibus = chdtrc(nu, nu / np.maximum(axes.sizes, 1) * _sums(np.square(_principal(z, axes)), axes))
    location, scale = (_two_sided(_picked(z, places)) for places in (axes.location, axes.scale))
    pvalue = np.where(np.isnan(location), omnibus, cauchy(np.stack([location, scale, omnibus])))
    leading = np.where(axes.location >= 0, axes.location, axes.turn.starts)
    used = np.minimum(leading, max(z.shape[-1] - 1, 0))
    own_variance = variance[..., used] if z.shape[-1] else np.ones_like(rows)
    share = traits.kind > 0
    if share.any():
        pvalue[..., share] = _share_pvalue(
            pvalue[..., share], difference[..., used[share]], own_variance[..., share], _shares(traits)
        )
        omnibus = np.where(share, pvalue, omnibus)
    distance = np.square(_principal(difference, axes))
    silent = (rows < rows_min) | (axes.sizes == 0)
    return Findings(
        pvalue=_unless(silent, pvalue),
        location=_unless(silent, location),
        scale=_unless(silent, scale),
        omnibus=_unless(silent, omnibus),
        effect=_unless(silent, np.maximum(_sums(distance - principal, axes), 0.0)),
        direction=_unless(silent | ~(traits.ordered | share), z[..., used] if z.shape[-1] else rows),
        spread=_unless(silent, _picked(z, axes.scale)),
        variance=_unless(silent, own_variance),
        variance_dof=_unless(silent, variability.dof[used] if z.shape[-1] else np.ones(silent.shape[-1])),
        square=_unless(silent, _sums(distance / principal, axes)),
        least_variance=_unless(silent, _over_axes(np.minimum, principal, axes, 1.0)),
        least_dof=_unless(silent, _over_axes(np.minimum, _principal(variability.dof, axes), axes, 1.0)),
        axes=_unless(silent, axes.sizes.astype(np.float64)),
        dof=_unless(silent, nu),
    )


def _beyond(difference: FloatArray, trivial_shift: float, traits: Traits, axes: Axes) -> FloatArray:
    """What is left of differences of values if as much of them as a trivial shift makes is no evidence.

    Location and scale give up its length each, the principal axes give it up together.
    """
    if not trivial_shift:
        return difference
    length = np.sqrt(_sums(np.square(_principal(difference, axes)), axes))
    kept = np.where(length > trivial_shift, 1 - trivial_shift / np.maximum(length, trivial_shift), 0.0)
    beyond = difference * np.repeat(np.where(traits.kind == 0, kept, 1.0), axes.turn.sizes, axis=-1)
    own = np.concatenate([places[places >= 0] for places in (axes.location, axes.scale)])
    beyond[..., own] = np.copysign(np.maximum(np.abs(difference[..., own]) - trivial_shift, 0.0), difference[..., own])
    return np.asarray(beyond)


def normal_of_student(t: FloatArray, dof: FloatArray) -> FloatArray:
    """Standard normal of the same tail probability as a Student t, to within some per cent of it [1]_."""
    # log1p would do, were it not that t^2 / v may be beyond it: for a huge t the square root of the logarithm is right.
    return np.asarray(np.sign(t) * (8 * dof + 1) / (8 * dof + 3) * np.sqrt(dof * np.log1p(np.square(t) / dof)))


def student_of_normal(z: FloatArray, dof: FloatArray) -> FloatArray:
    """Student t that `normal_of_student` makes a positive z of; infinite where no double is so large."""
    with np.errstate(over="ignore"):
        return np.asarray(np.sqrt(dof * np.expm1(np.square(z * (8 * dof + 3) / (8 * dof + 1)) / dof)))


def cauchy(pvalues: FloatArray) -> FloatArray:
    """Combine p-values along the first axis, NaN ones left out [2]_; valid in the tail under any dependence."""
    clipped = np.clip(pvalues, 1e-300, _LARGEST)
    small = clipped < _SMALL
    each = np.where(small, 1 / (np.pi * clipped), np.tan((0.5 - np.where(small, 0.5, clipped)) * np.pi))
    given = ~np.isnan(pvalues)
    mean = np.where(given, each, 0.0).sum(axis=0) / np.maximum(given.sum(axis=0), 1)
    # 1/2 - arctan(x)/pi loses all digits of a small probability; arctan(1/x)/pi does not.
    positive = mean > 0
    upper = np.arctan(1 / np.where(positive, mean, 1.0)) / np.pi
    combined = np.where(positive, upper, 0.5 - np.arctan(mean) / np.pi)
    return np.where(given.any(axis=0), combined, np.nan)


def _two_sided(z: FloatArray) -> FloatArray:
    return np.asarray(2 * ndtr(-np.abs(z)))


def _picked(z: FloatArray, places: np.ndarray) -> FloatArray:
    if not z.shape[-1]:
        return np.full((*z.shape[:-1], places.size), np.nan)
    return np.where(places >= 0, z[..., places], np.nan)


def _principal(per_axis: FloatArray, axes: Axes) -> FloatArray:
    return per_axis[..., axes.principal]


def _sums(principal: FloatArray, axes: Axes) -> FloatArray:
    """Sum over the principal axes of each trait; 0 for a trait without any."""
    return _over_axes(np.add, principal, axes, 0.0)


def _over_axes(reduced: np.ufunc, principal: FloatArray, axes: Axes, otherwise: float) -> FloatArray:
    filled = axes.sizes > 0
    result = np.full((*principal.shape[:-1], axes.sizes.size), otherwise)
    if filled.any():
        starts = (np.cumsum(axes.sizes) - axes.sizes)[filled]
        result[..., filled] = reduced.reduceat(principal, starts, axis=-1)
    return result


def _shares(traits: Traits) -> FloatArray:
    share = traits.kind > 0
    return traits.shares[(traits.starts + 1)[share]]


def _share_pvalue(pvalue: FloatArray, difference: FloatArray, variance: FloatArray, share: FloatArray) -> FloatArray:
    """Where few rows are expected: the binomial distribution at the effective rows, its counts taken as continuous."""
    worth = 1 / variance
    rare = np.minimum(share, 1 - share)
    few = worth * rare < _EXPECTED_MIN
    if not few.any():
        return pvalue
    shift = difference * np.sqrt(share * (1 - share))
    seen = np.clip(np.where(share <= 1 / 2, share + shift, 1 - share - shift), 0.0, 1.0) * worth
    rest = np.maximum(worth - seen, 0.0)
    more = np.where(seen > 0, betainc(np.maximum(seen, 1e-9), rest + 1, rare), 1.0)
    less = 1 - np.where(rest > 0, betainc(seen + 1, np.maximum(rest, 1e-9), rare), 0.0)
    return np.where(few, np.minimum(2 * np.minimum(more, less), 1.0), pvalue)


def _unless(silent: BoolArray, values: FloatArray) -> FloatArray:
    return np.where(silent, np.nan, values)
