"""The reference's base windows, ready to be calibrated on: in every basis, with the season that predicts them best."""

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray
from detectors.calibration.components import bases_of, level_of
from detectors.calibration.fit import Fit, fit
from detectors.calibration.history import History
from detectors.calibration.seasons import STRATA, Season, candidates, repeats, strata
from detectors.calibration.traits import traits_of
from detectors.calibration.variability import BLOCKS_MIN
from detectors.reference.model import Reference

__all__ = ["Past"]

_WEEKEND: Final = (5, 6)


class Past:
    """Base windows of a reference with blocks.

    Parameters
    ----------
    reference : Reference
        With blocks.
    hours : ndarray of int64, shape [n_blocks]
        Hour of the week at which each of its base windows begins, in the model's time zone.
    base_s : int
        Length of a base window.
    scales : sequence of int
        Numbers of base windows that are tested together; those are left out of which half of the traits have enough rows in
        fewer than eight blocks.
    rows_min : int
        With fewer rows, nothing is said of a trait.
    trivial_shift : float
        In standard deviations: as much is no evidence.
    season : str, optional
        Chosen by the reference itself unless given. One whose strata came too rarely is not used: what windows differ by
        would be taken for season.
    weekend : tuple of int
        Days of the weekend; Monday is 0.
    """

    def __init__(
        self,
        reference: Reference,
        hours: npt.NDArray[np.int64],
        *,
        base_s: int,
        scales: Sequence[int],
        rows_min: int,
        trivial_shift: float = 0.0,
        season: Season | None = None,
        weekend: tuple[int, ...] = _WEEKEND,
    ) -> None:
        blocks = reference.blocks
        if blocks is None:
            raise ValueError("wanted a reference with blocks")
        self.traits = traits_of(reference)
        self.bases, self._which = bases_of(self.traits)
        self.groups = self.traits.groups(blocks.counts)
        self.base_s = base_s
        self.rows_min = rows_min
        self.trivial_shift = trivial_shift
        self.places = np.round((blocks.starts_s - blocks.starts_s[0]) / base_s).astype(np.int64)
        self.scales = tuple(s for s in scales if self._blocks_with_rows(s) >= BLOCKS_MIN)
        self._hours, self._weekend = hours, weekend
        self._histories: dict[int, History] = {}
        wanted = season if season == "none" or (season and self._repeats_of(season)) else None
        self.season: Season = self._best_season() if wanted is None else wanted

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """Rows of each trait in each window; shape [n_windows, n_traits]."""
        return self.traits.rows(self.groups)

    @cached_property
    def of_window(self) -> npt.NDArray[np.int64]:
        """Stratum of each window."""
        return self.strata(self._hours)

    @cached_property
    def repeats(self) -> float:
        """How often a stratum came; 0 without a season."""
        return 0.0 if self.season == "none" else self._repeats_of(self.season)

    def strata(self, hours: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Strata of windows that begin at these hours of the week."""
        return strata(self.season, hours, self._weekend)

    def which(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Basis for so many rows of each trait: [..., n_traits]; -1 where there are too few for any."""
        level = level_of(rows)
        basis = self._which[np.arange(self.traits.sizes.size), np.maximum(level, 0)]
        return np.where((level < 0) & (rows < self.rows_min), -1, basis)

    def fit(self, basis: int, held_out: BoolArray | None = None) -> Fit:
        """A calibration in one basis."""
        return fit(
            self.bases[basis],
            self.traits,
            self.history(basis),
            self.scales,
            repeats=self.repeats,
            rows_min=self.rows_min,
            trivial_shift=self.trivial_shift,
            held_out=held_out,
        )

    def forget(self) -> None:
        """Let go of what only calibrating needs; it is made again when it is asked for."""
        self._histories.clear()

    def history(self, basis: int) -> History:
        """The windows in one basis."""
        if basis not in self._histories:
            self._histories[basis] = self._history(basis, self.season, self.of_window)
        return self._histories[basis]

    def _history(self, basis: int, season: Season, of_window: npt.NDArray[np.int64]) -> History:
        some = self.bases[basis]
        return History(
            sums=some.components(self.groups[:, some.groups]),
            rows=self.rows[:, some.traits],
            sizes=some.components.sizes,
            strata=of_window,
            n_strata=STRATA[season],
            places=self.places,
        )

    def _repeats_of(self, season: Season) -> float:
        return repeats(season, strata(season, self._hours, self._weekend), self.base_s)

    def _blocks_with_rows(self, scale: int) -> float:
        """Whole blocks in which a trait has enough rows, for the trait in the middle."""
        block = self.places // scale
        whole = block < (int(self.places[-1]) + 1) // scale
        if not whole.any() or not self.rows.shape[1]:
            return float(np.unique(block[whole]).size)
        firsts = np.flatnonzero(np.diff(block[whole], prepend=-1) > 0)
        enough = np.add.reduceat(self.rows[whole], firsts, axis=0) >= self.rows_min
        return float(np.median(enough.sum(axis=0)))

    def _best_season(self) -> Season:
        usual = self.which(np.median(self.rows, axis=0).astype(np.int64))
        best: tuple[float, Season] | None = None
        for season in candidates(self.base_s):
            of_window = strata(season, self._hours, self._weekend)
            times = float(of_window.size) if season == "none" else self._repeats_of(season)
            if times < 2:  # noqa: PLR2004 - without a repeat there is nothing out of sample
                continue
            error = sum(self._error(basis, season, of_window, usual) for basis in range(len(self.bases)))
            error *= (times + 1) / (times - 1)
            if best is None or error < best[0]:
                best = error, season
        return "none" if best is None else best[1]

    def _error(
        self, basis: int, season: Season, of_window: npt.NDArray[np.int64], usual: npt.NDArray[np.int64]
    ) -> float:
        """Mean square, over windows, of what is left when strata have been taken off; summed over components."""
        if not (usual == basis).any():
            return 0.0
        history = self._history(basis, season, of_window)
        excess = history.expectation().excess(history.sums, history.component_rows, of_window)
        counts = (history.component_rows >= self.rows_min) & np.repeat(
            usual[self.bases[basis].traits] == basis, history.sizes
        )
        square = np.where(counts, np.square(excess / np.maximum(history.component_rows, 1)), 0.0)
        return float((square.sum(axis=0) / np.maximum(counts.sum(axis=0), 1)).sum())
