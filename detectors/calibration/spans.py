r"""Windows that are not whole blocks: a file of three weeks, a view of the last day.

How much rows of neighbouring base windows have in common is learned from blocks of 1, 2, 3, 6, ... base windows. A span
that is worth L of them (:math:`L = n^2 / \sum_w n_w^2`) is judged by the longest blocks that are not worth more; beyond
the longest, the excess falls off as fast as the correlation of one block with the next lets it:

.. math:: V = \frac{1}{n} + x \max(1, \bar n / n) \min(1, \lambda / e) + \max(\lambda_T s^2_T / B_T, 1/m),
   \quad \lambda = \frac{1 + a}{1 - a}, \; e = L / L_T

That is done up to a day and up to the longest blocks there are, and the larger variance is taken.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray
from detectors.calibration.alarm import Judgement, judgement_of
from detectors.calibration.calibrated import Calibration
from detectors.calibration.fit import Fit
from detectors.calibration.past import Past
from detectors.calibration.variability import Variability

__all__ = ["LADDER", "Spans"]

LADDER: Final = (1, 2, 3, 6, 12, 24, 48, 90)
"""Scales of the past that `Spans` is made with."""

_DAY: Final = 24
_NEARLY: Final = 1.05
_LAG_MAX: Final = 0.9


class Spans:
    """Judges spans of any length.

    Parameters
    ----------
    past : Past
        With the scales of `LADDER`.
    n_columns : int
    """

    def __init__(self, past: Past, n_columns: int) -> None:
        self.past = past
        self._calibration = Calibration(past)
        self._n_columns = n_columns
        usual = past.rows.max(axis=1, initial=0).astype(np.float64)
        self._lengths = {scale: _length_of_blocks(usual, past.places, scale) for scale in past.scales}

    def judge(self, segments: npt.NDArray[np.int64], hours: npt.NDArray[np.int64]) -> Judgement:
        """Judge one span.

        Parameters
        ----------
        segments : ndarray of int64, shape [n_base_windows, n_segments]
            Counts of its base windows with rows, see `Reference.segments`.
        hours : ndarray of int64, shape [n_base_windows]
            Hour of the week at which each begins, in the model's time zone.

        Returns
        -------
        Judgement
        """
        groups = self.past.traits.groups(segments)
        rows = self.past.traits.rows(groups)
        length = _length(rows.max(axis=1, initial=0).astype(np.float64))
        total = rows.sum(axis=0).astype(np.float64)
        found = self._calibration.window(
            groups, self.past.strata(hours), lambda fit: self._variability(fit, total, length)
        )
        return judgement_of(found, self.past.traits, self._n_columns, may_be_major=False)

    def _variability(self, fit: Fit, total: FloatArray, length: float) -> Variability:
        rows = total[fit.place]
        tops = sorted({self._longest(lambda s: s <= _DAY), max(self.past.scales)})
        first, *others = (self._up_to(fit, top, rows, length, is_first=top == tops[0]) for top in tops)
        for other in others:
            first = _larger(first, other, rows, fit)
        return first

    def _up_to(self, fit: Fit, top: int, rows: FloatArray, length: float, *, is_first: bool) -> Variability:
        scale = self._longest(lambda s: s <= top and self._lengths[s] <= _NEARLY * length)
        near, far = fit.variability[scale], fit.variability[top]
        beyond = max(length / self._lengths[top], 1.0) if scale == top else 1.0
        lag = far.lag + (0.5 / np.sqrt(max(far.n_blocks, 1)) if is_first else 0.0)
        lag = np.clip(lag, 0.0, _LAG_MAX)
        reach = (1 + lag) / (1 - lag)
        sizes = fit.axes.turn.sizes
        stretched = np.repeat(np.maximum(1.0, near.block_rows / np.maximum(rows, 1.0)), sizes)
        known = np.repeat(1 / np.maximum(fit.traits.reference_rows, 1), sizes)
        return Variability(
            excess=near.excess * stretched * np.minimum(1.0, reach / beyond),
            block_rows=np.zeros_like(near.block_rows),
            own=np.maximum(reach * far.block_variance / max(far.n_blocks, 1), known),
            dof=np.minimum(near.dof, far.dof) if beyond > 1 else near.dof,
            omnibus_dof=near.omnibus_dof,
            block_variance=near.block_variance,
            lag=lag,
            n_blocks=near.n_blocks,
        )

    def _longest(self, suits: Callable[[int], bool]) -> int:
        """The longest scale of those that suit; the shortest of all where none does, as with few rows in a base window."""
        return max((s for s in self.past.scales if suits(s)), default=min(self.past.scales))


def _larger(one: Variability, other: Variability, rows: FloatArray, fit: Fit) -> Variability:
    sizes = fit.axes.turn.sizes
    first = one.variance(rows, sizes) >= other.variance(rows, sizes)
    return Variability(
        excess=np.where(first, one.excess, other.excess),
        block_rows=one.block_rows,
        own=np.where(first, one.own, other.own),
        dof=np.where(first, one.dof, other.dof),
        omnibus_dof=np.minimum(one.omnibus_dof, other.omnibus_dof),
        block_variance=one.block_variance,
        lag=np.where(first, one.lag, other.lag),
        n_blocks=one.n_blocks,
    )


def _length(rows: FloatArray) -> float:
    square = float(np.square(rows).sum())
    return float(rows.sum()) ** 2 / square if square > 0 else 1.0


def _length_of_blocks(rows: FloatArray, places: npt.NDArray[np.int64], scale: int) -> float:
    block = places // scale
    firsts = np.flatnonzero(np.concatenate([[True], np.diff(block) > 0]))
    together, square = np.add.reduceat(rows, firsts), np.add.reduceat(np.square(rows), firsts)
    filled = square > 0
    return float(np.mean(np.square(together[filled]) / square[filled])) if filled.any() else 1.0
