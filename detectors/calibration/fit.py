"""A calibration in one basis: expectation, axes and variability, from all windows of the reference or without some of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, FloatArray, IndexArray
from detectors.calibration.components import Basis
from detectors.calibration.history import Expectation, History
from detectors.calibration.pvalues import Findings, findings
from detectors.calibration.ragged import RaggedMap
from detectors.calibration.traits import Traits
from detectors.calibration.variability import Axes, Variability, axes_of, blocks_of, variabilities

__all__ = ["Fit", "fit"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """A calibration in one basis.

    Parameters
    ----------
    traits : Traits
        Those of the basis.
    place : ndarray of intp, shape [n_traits]
        Their numbers among all traits.
    axes : Axes
    directions : RaggedMap
        Counts of the basis's groups to sums of each axis.
    expectation : Expectation
        Means of each axis.
    variability : mapping of int to Variability
        By scale.
    rows_min : int
    trivial_shift : float
    """

    traits: Traits
    place: IndexArray
    axes: Axes
    directions: RaggedMap
    expectation: Expectation
    variability: dict[int, Variability]
    rows_min: int
    trivial_shift: float

    def findings(
        self, groups: npt.NDArray[np.int64], of_window: npt.NDArray[np.int64], variability: Variability
    ) -> Findings:
        """What one window of some base windows shows.

        Parameters
        ----------
        groups : ndarray of int64, shape [n_base_windows, n_groups]
            Of the basis.
        of_window : ndarray of int64, shape [n_base_windows]
            Their strata.
        variability : Variability
            Of windows that are as long.
        """
        rows = np.add.reduceat(groups, self.traits.starts, axis=-1).astype(np.float64)
        expected = np.repeat(rows, self.axes.turn.sizes, axis=-1) * self.expectation.means[of_window]
        excess = self.directions(groups.sum(axis=0)) - expected.sum(axis=0)
        return self.of_excess(excess[None], rows.sum(axis=0)[None], variability)

    def of_excess(self, excess: FloatArray, rows: FloatArray, variability: Variability) -> Findings:
        """What windows show whose sums are known: [n_windows, n_axes], [n_windows, n_traits]."""
        return findings(
            excess,
            rows,
            self.traits,
            self.axes,
            variability,
            rows_min=self.rows_min,
            trivial_shift=self.trivial_shift,
        )


def fit(
    basis: Basis,
    traits: Traits,
    history: History,
    scales: Sequence[int],
    *,
    repeats: float,
    rows_min: int,
    trivial_shift: float = 0.0,
    held_out: BoolArray | None = None,
) -> Fit:
    """Calibrate.

    Parameters
    ----------
    basis : Basis
    traits : Traits
        All of them.
    history : History
        In this basis.
    scales : sequence of int
    repeats : float
        How often a stratum came; 0 without a season.
    rows_min : int
        Windows in which a trait has fewer rows are not used for it.
    trivial_shift : float
        In standard deviations: as much is no evidence.
    held_out : ndarray of bool, shape [n_windows], optional
    """
    own = traits.only(basis.traits)
    expectation = history.expectation(held_out)
    excess = expectation.excess(history.sums, history.component_rows, history.strata)
    blocks = {scale: blocks_of(history, excess, scale, held_out) for scale in scales}
    axes = axes_of(history, blocks, own.ordered)
    known = own.reference_rows if held_out is None else own.reference_rows - history.rows[held_out].sum(axis=0)
    return Fit(
        traits=own,
        place=basis.traits,
        axes=axes,
        directions=basis.components.then(axes.turn),
        expectation=Expectation(means=axes.turn(expectation.means)),
        variability=variabilities(
            blocks, axes, repeats=repeats, reference_rows=known.astype(np.float64), rows_min=rows_min
        ),
        rows_min=rows_min,
        trivial_shift=trivial_shift,
    )
