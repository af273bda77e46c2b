r"""How much windows differ when nothing is wrong.

For each component of each trait, at each scale, from blocks of the reference that are as long as the window:

.. math:: V(n) = \frac{1}{n} + x \max(1, \bar n / n) + v_{ref}, \quad
   x = \max(s^2 - 1/\bar n, \; s_n^2 - B / \textstyle\sum_b n_b, \; 0)

with s^2 the out-of-sample variance of a block, :math:`s_n^2` the same with blocks weighted by their rows, :math:`\bar n` the
harmonic mean of the blocks' rows, and v_ref the error of the reference's own mean. Independent rows give 1/n + 1/m; rows that
come in runs, hours with a mood of their own and seasons that were not removed give more, and a component its own share of it.
1/V is how many independent rows the window is worth.

The components of a trait are turned into the principal axes of its natural variability. The sum of squares stays Pearson's,
and each axis is judged by what is natural along it.

References
----------
.. [1] Rao, Scott (1981), "The analysis of categorical data from complex sample surveys" (the idea, with one factor for all).
.. [2] Satterthwaite (1946), "An approximate distribution of estimates of variance components".
.. [3] Ledoit, Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from detectors.arrays import BoolArray, FloatArray, IndexArray
from detectors.calibration.history import History
from detectors.calibration.ragged import RaggedMap, ragged_map

__all__ = ["BLOCKS_MIN", "Axes", "Variability", "axes_of", "blocks_of", "variabilities"]

BLOCKS_MIN: Final = 8
"""A scale with fewer blocks in the reference is not tested."""

_AXES_SCALE: Final = 6
"""Principal axes are taken from blocks of six base windows: enough of them, and little sampling noise left."""

_DOF_MIN: Final = 3.0

_COUNTED_MIN: Final = 4
"""A trait that fewer blocks have enough rows of is not tested at their scale: nothing is known of its variability."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """Excess of blocks of the reference over what was expected.

    Parameters
    ----------
    differences : ndarray of float64, shape [n_blocks, n_components]
        Per row.
    rows : ndarray of float64, shape [n_blocks, n_traits]
    """

    differences: FloatArray
    rows: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Axes:
    """What components are turned into.

    Parameters
    ----------
    turn : RaggedMap
        Components to axes: the principal axes of each trait, then, for one with an order, location and scale as they were.
    sizes : ndarray of intp, shape [n_traits]
        Number of principal axes.
    principal : ndarray of intp, shape [n_principal]
        Places of the principal axes of all traits.
    location, scale : ndarray of intp, shape [n_traits]
        Place of the location and the scale component; -1 for none.
    """

    turn: RaggedMap
    sizes: IndexArray
    principal: IndexArray
    location: IndexArray
    scale: IndexArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variability:
    """Natural variability of windows of one scale.

    Parameters
    ----------
    excess : ndarray of float64, shape [n_axes]
        Variance of a block beyond that of independent rows; NaN, as all that follows from it, where too few blocks have
        enough rows.
    block_rows : ndarray of float64, shape [n_traits]
        Harmonic mean of the blocks' rows.
    own : ndarray of float64, shape [n_axes]
        Variance of the reference's own mean.
    dof : ndarray of float64, shape [n_axes]
        Degrees of freedom of `excess`.
    omnibus_dof : ndarray of float64, shape [n_traits]
        Degrees of freedom of the sum of squares of the principal axes.
    block_variance : ndarray of float64, shape [n_axes]
        Out-of-sample variance of a block.
    lag : ndarray of float64, shape [n_axes]
        Correlation of a block with the next one; not below 0.
    n_blocks : int
    """

    excess: FloatArray
    block_rows: FloatArray
    own: FloatArray
    dof: FloatArray
    omnibus_dof: FloatArray
    block_variance: FloatArray
    lag: FloatArray
    n_blocks: int

    def variance(self, rows: FloatArray, sizes: IndexArray) -> FloatArray:
        """V for windows of so many rows: [n_windows, n_traits] to [n_windows, n_axes]."""
        at_least = np.maximum(rows, 1.0)
        stretched = np.repeat(np.maximum(1.0, self.block_rows / at_least), sizes, axis=-1)
        return np.asarray(np.repeat(1 / at_least, sizes, axis=-1) + self.excess * stretched + self.own)


def blocks_of(history: History, excess: FloatArray, scale: int, held_out: BoolArray | None = None) -> Blocks:
    """Blocks of so many base windows, those that a held-out window lies in left out.

    Parameters
    ----------
    history : History
    excess : ndarray of float64, shape [n_windows, n_components]
        Of each window, see `Expectation.excess`.
    scale : int
    held_out : ndarray of bool, shape [n_windows], optional
    """
    block = history.places // scale
    # A block that is partly held out, or partly beyond the end, is none.
    use = np.ones(block.size, dtype=np.bool_) if held_out is None else ~np.isin(block, block[held_out])
    use &= block < (int(history.places[-1]) + 1) // scale if block.size else use
    kept = np.flatnonzero(use)
    if not kept.size:
        return Blocks(differences=np.empty((0, history.sums.shape[1])), rows=np.empty((0, history.sizes.size)))
    excess, rows = excess[kept], history.rows[kept].astype(np.float64)
    if scale > 1:
        firsts = np.flatnonzero(np.concatenate([[True], np.diff(block[kept]) > 0]))
        excess, rows = np.add.reduceat(excess, firsts, axis=0), np.add.reduceat(rows, firsts, axis=0)
    per_row = np.repeat(1 / np.maximum(rows, 1.0), history.sizes, axis=1)
    return Blocks(differences=excess * per_row, rows=rows)


def axes_of(history: History, blocks: Mapping[int, Blocks], ordered: BoolArray) -> Axes:
    """Principal axes from the blocks of the largest scale up to six that has enough of them."""
    scale = max((s for s in blocks if s <= _AXES_SCALE), default=min(blocks))
    differences = blocks[scale].differences
    ends = np.cumsum(history.sizes)
    matrices = [np.eye(size) for size in history.sizes.tolist()]
    for several in np.unique(history.sizes[history.sizes > 1]).tolist():
        traits = np.flatnonzero(history.sizes == several)
        own = differences[:, ends[traits, None] - several + np.arange(several)].transpose(1, 2, 0)
        vectors = np.linalg.eigh(own @ own.transpose(0, 2, 1))[1][:, :, ::-1]
        for trait, own_axes in zip(traits.tolist(), vectors, strict=True):
            matrices[trait] = own_axes
    for trait in np.flatnonzero(ordered).tolist():
        as_they_were = np.eye(matrices[trait].shape[0])[:, :2]
        matrices[trait] = np.hstack([matrices[trait], as_they_were])
    turn = ragged_map(matrices)
    extra = turn.sizes - history.sizes
    after = turn.starts + history.sizes
    owner = np.repeat(np.arange(turn.sizes.size), turn.sizes)
    place = np.arange(owner.size) - turn.starts[owner]
    return Axes(
        turn=turn,
        sizes=history.sizes,
        principal=np.flatnonzero(place < history.sizes[owner]).astype(np.intp),
        location=np.where(extra > 0, after, -1).astype(np.intp),
        scale=np.where(extra > 1, after + 1, -1).astype(np.intp),
    )


def variabilities(
    blocks: Mapping[int, Blocks], axes: Axes, *, repeats: float, reference_rows: FloatArray, rows_min: int
) -> dict[int, Variability]:
    """Variability at each scale.

    Parameters
    ----------
    blocks : mapping of int to Blocks
        By scale.
    axes : Axes
    repeats : float
        How often a stratum came; 0 for a reference without a season, where it is the number of blocks.
    reference_rows : ndarray of float64, shape [n_traits]
    rows_min : int
        Blocks in which a trait has fewer rows say nothing of it.
    """
    moments = {scale: _Moments.of(some, axes, repeats=repeats, rows_min=rows_min) for scale, some in blocks.items()}
    longest = moments[max(moments)]
    own = np.maximum(
        longest.variance / np.repeat(np.maximum(longest.counted, 1.0), axes.turn.sizes),
        np.repeat(1 / np.maximum(reference_rows, 1.0), axes.turn.sizes),
    )
    return {scale: some.variability(axes, own) for scale, some in moments.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Moments:
    counted: FloatArray  # [n_traits], blocks with enough rows
    block_rows: FloatArray  # [n_traits]
    variance: FloatArray  # [n_axes]
    excess: FloatArray  # [n_axes]
    standardised: FloatArray  # [n_blocks, n_axes], 0 where a block does not count

    @classmethod
    def of(cls, blocks: Blocks, axes: Axes, *, repeats: float, rows_min: int) -> "_Moments":
        sizes = axes.turn.sizes
        enough = blocks.rows >= rows_min
        counted = enough.sum(axis=0).astype(np.float64)
        inverse = np.where(enough, 1 / np.maximum(blocks.rows, 1.0), 0.0)
        mean_inverse = inverse.sum(axis=0) / np.maximum(counted, 1.0)
        block_rows = np.where(mean_inverse > 0, 1 / np.where(mean_inverse > 0, mean_inverse, 1.0), 0.0)
        turned = np.where(np.repeat(enough, sizes, axis=1), axes.turn(blocks.differences), 0.0)
        times = np.where(repeats > 0, repeats, np.maximum(counted, 2.0))
        out_of_sample = (times + 1) / (times - 1)
        square = np.square(turned)
        share = _by_chance(square, counted, axes)
        variance = _drawn(square.sum(axis=0) / np.repeat(np.maximum(counted, 1.0), sizes), share, axes)
        variance *= np.repeat(out_of_sample, sizes)
        # Small blocks drown the excess of uneven traffic in noise; by rows it is seen. The larger errs to the safe side.
        weight = np.where(enough, blocks.rows, 0.0)
        weight /= np.maximum(weight.sum(axis=0), 1.0)
        by_rows = _drawn((np.repeat(weight, sizes, axis=1) * square).sum(axis=0), share, axes)
        by_rows = by_rows * np.repeat(out_of_sample, sizes) - np.repeat((weight * inverse).sum(axis=0), sizes)
        unknown = np.repeat(counted < _COUNTED_MIN, sizes)
        excess = np.maximum(np.maximum(variance - np.repeat(mean_inverse, sizes), by_rows), 0.0)
        excess = np.where(unknown, np.nan, excess)
        stretched = np.repeat(np.maximum(1.0, block_rows * inverse), sizes, axis=1)
        each = np.repeat(inverse, sizes, axis=1) + excess * stretched
        standardised = np.where(each > 0, turned / np.sqrt(np.where(each > 0, each, 1.0)), 0.0)
        return cls(counted=counted, block_rows=block_rows, variance=variance, excess=excess, standardised=standardised)

    def variability(self, axes: Axes, own: FloatArray) -> Variability:
        counted = np.repeat(np.maximum(self.counted, 2.0), axes.turn.sizes)
        square = np.square(self.standardised)
        second, fourth = square.sum(axis=0) / counted, np.square(square).sum(axis=0) / counted
        kurtosis = np.where(second > 0, fourth / np.square(np.where(second > 0, second, 1.0)), 3.0)
        dof = np.clip(2 * counted / np.maximum(kurtosis - 1, 1e-9), _DOF_MIN, np.maximum(counted, _DOF_MIN))
        next_to = (self.standardised[1:] * self.standardised[:-1]).sum(axis=0) / counted
        lag = np.clip(np.where(second > 0, next_to / np.where(second > 0, second, 1.0), 0.0), 0.0, 0.99)
        return Variability(
            excess=self.excess,
            block_rows=self.block_rows,
            own=own,
            dof=np.maximum(dof * (1 - lag**2) / (1 + lag**2), 1.0),
            omnibus_dof=_omnibus_dof(self.standardised, self.counted, axes),
            block_variance=self.variance,
            lag=lag,
            n_blocks=int(self.standardised.shape[0]),
        )


def _by_chance(square: FloatArray, counted: FloatArray, axes: Axes) -> FloatArray:
    """How much of what parts the variances of a trait's principal axes is chance [3]_, eq. 14; shape [n_traits].

    Axes are chosen by the very blocks that their variances are taken from: of many axes and few blocks, the last ones look
    far too quiet. A trait whose variability has one direction keeps it.
    """
    share = np.ones(axes.sizes.size)
    filled = np.flatnonzero(axes.sizes > 0)
    if filled.size:
        sizes, blocks = axes.sizes[filled], np.maximum(counted[filled], 1.0)
        starts = np.cumsum(sizes) - sizes
        own = square[:, axes.principal]
        lengths = np.add.reduceat(own, starts, axis=1)
        variance = own.sum(axis=0) / np.repeat(blocks, sizes)
        squares = np.add.reduceat(np.square(variance), starts)
        apart = squares - np.square(np.add.reduceat(variance, starts)) / sizes
        chance = (np.square(lengths).sum(axis=0) / blocks - squares) / blocks
        share[filled] = np.where(apart > chance, chance / np.where(apart > 0, apart, 1.0), 1.0)
    return np.maximum(share, 0.0)


def _drawn(variance: FloatArray, share: FloatArray, axes: Axes) -> FloatArray:
    """Variances of the principal axes drawn to their mean, by a share of the way."""
    filled = np.flatnonzero(axes.sizes > 0)
    if not filled.size:
        return variance
    sizes, own = axes.sizes[filled], variance[axes.principal]
    mean = np.add.reduceat(own, np.cumsum(sizes) - sizes) / sizes
    result = variance.copy()
    result[axes.principal] += np.repeat(share[filled], sizes) * (np.repeat(mean, sizes) - own)
    return result


def _omnibus_dof(standardised: FloatArray, counted: FloatArray, axes: Axes) -> FloatArray:
    """J^2 over the sum of squared correlations, these without the part that chance gives them; or as the sums themselves vary.

    The squares go up and down together, even of axes without correlation, where blocks are not alike: an hour of the night
    has other shares than the reference, and so other sampling noise.
    """
    result = np.ones(axes.sizes.size)
    principal = standardised[:, axes.principal]
    starts = np.cumsum(axes.sizes) - axes.sizes
    for size in np.unique(axes.sizes).tolist():
        if size < 2:  # noqa: PLR2004 - one axis has no other to go with
            continue
        traits = np.flatnonzero(axes.sizes == size)
        own = np.moveaxis(principal[:, starts[traits, None] + np.arange(size)], 0, -1)
        products = own @ np.swapaxes(own, -1, -2)
        scale = np.sqrt(np.maximum(np.diagonal(products, axis1=-2, axis2=-1), 1e-300))
        squared = np.square(products / scale[..., :, None] / scale[..., None, :])
        between = squared.sum(axis=(-2, -1)) - size
        n = np.maximum(counted[traits], 3.0)
        between = (between - size * (size - 1) / (n - 1)) / (1 - 1 / (n - 1))
        squares = np.square(own).sum(axis=-2)
        mean = squares.sum(axis=-1) / n
        apart = np.square(squares).sum(axis=-1) / n - mean**2
        of_sums = 2 * mean**2 / np.maximum(apart, 1e-300)
        result[traits] = np.minimum(size**2 / (size + np.maximum(between, 0.0)), np.maximum(of_sums, 1.0))
    return result
