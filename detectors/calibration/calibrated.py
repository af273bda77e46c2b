"""A calibration on all windows of a past, or on all but those held out, in whichever bases are asked for."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, FloatArray, IndexArray, sums
from detectors.calibration.fit import Fit
from detectors.calibration.past import Past
from detectors.calibration.pvalues import Findings
from detectors.calibration.variability import Variability

__all__ = ["Calibration"]

_Number = TypeVar("_Number", np.int64, np.float64)


class Calibration:
    """Calibrates on a past; each basis when it is first needed.

    Parameters
    ----------
    past : Past
    held_out : ndarray of bool, shape [n_windows], optional
        Windows that it is not to know.
    """

    def __init__(self, past: Past, held_out: BoolArray | None = None) -> None:
        self.past = past
        self._held_out = held_out
        self._fits: dict[int, Fit] = {}

    def fit(self, basis: int) -> Fit:
        """The calibration in one basis."""
        if basis not in self._fits:
            self._fits[basis] = self.past.fit(basis, self._held_out)
            if self._held_out is None:
                self.past.forget()  # two numbers a window and component: more than all the rest together
        return self._fits[basis]

    def window(
        self,
        groups: npt.NDArray[np.int64],
        of_window: npt.NDArray[np.int64],
        variability: Callable[[Fit], Variability],
    ) -> Findings:
        """What one window shows.

        Parameters
        ----------
        groups : ndarray of int64, shape [n_base_windows, n_groups]
            Counts of its base windows; those without rows may be left out.
        of_window : ndarray of int64, shape [n_base_windows]
            Their strata.
        variability : callable
            Of windows that are as long, by the calibration in a basis.

        Returns
        -------
        Findings
            Of one window.
        """
        which = self.past.which(self.past.traits.rows(groups.sum(axis=0)))[None]
        found = {
            basis: fit.findings(groups[:, self.past.bases[basis].groups], of_window, variability(fit))
            for basis, fit in ((basis, self.fit(basis)) for basis in _used(which))
        }
        return _assembled(found, self.past, which)

    def rolling(
        self,
        groups: npt.NDArray[np.int64],
        of_window: npt.NDArray[np.int64],
        *,
        scale: int,
        ends: npt.NDArray[np.int64],
    ) -> Findings:
        """What many overlapping windows show.

        Parameters
        ----------
        groups : ndarray of int64, shape [n_base_windows, n_groups]
            Consecutive base windows, those without rows too.
        of_window : ndarray of int64, shape [n_base_windows]
        scale : int
        ends : ndarray of int64, shape [n_windows]
            The last base window of each; at least `scale - 1`.
        """
        which = self.past.which(_before(self.past.traits.rows(groups), scale, ends))
        found = {}
        for basis in _used(which):
            fit, own = self.fit(basis), groups[:, self.past.bases[basis].groups]
            rows = sums(own, fit.traits.starts).astype(np.float64)
            excess = fit.expectation.excess(
                fit.directions(own), np.repeat(rows, fit.axes.turn.sizes, axis=-1), of_window
            )
            found[basis] = fit.of_excess(
                _before(excess, scale, ends), _before(rows, scale, ends), fit.variability[scale]
            )
        return _assembled(found, self.past, which)


def _used(which: npt.NDArray[np.int64]) -> list[int]:
    return [int(basis) for basis in np.unique(which[which >= 0])]


def _assembled(found: Mapping[int, Findings], past: Past, which: npt.NDArray[np.int64]) -> Findings:
    """Findings on all traits, each from its own basis; `which` has shape [n_windows, n_traits]."""
    whole: dict[str, FloatArray] = {field.name: np.full(which.shape, np.nan) for field in fields(Findings)}
    for basis, some in found.items():
        own: IndexArray = past.bases[basis].traits
        mine = which[:, own] == basis
        everywhere = bool(mine.all())
        for name, array in whole.items():
            values = getattr(some, name)
            array[:, own] = values if everywhere else np.where(mine, values, array[:, own])
    return Findings(**whole)


def _before(values: npt.NDArray[_Number], scale: int, ends: npt.NDArray[np.int64]) -> npt.NDArray[_Number]:
    """Sums over the `scale` base windows that end with each of `ends`."""
    if scale == 1:
        return values[ends]
    running = np.concatenate([np.zeros((1, values.shape[1]), dtype=values.dtype), np.cumsum(values, axis=0)])
    return np.asarray(running[ends + 1] - running[ends + 1 - scale])
