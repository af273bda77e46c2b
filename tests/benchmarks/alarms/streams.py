"""Synthetic streams with and without drift, as counts per hour: what the alarms are measured on.

28 days of reference and 28 days of production without drift have the same law (`tests/benchmarks/alarms/law.py`).
Streams with drift are 96 hours long: they begin at midnight of a day of the week drawn by seed, have at least 24 clean hours,
a first drifted hour drawn by seed, and at least 48 drifted hours. A world is made from the name of its setting and a seed
alone, and each of its streams from that and the name of the drift::

    world = world_of(SETTINGS["season_1000"], seed=0)
    production, drifted = world.production(), world.drifted(DRIFTS[0])
"""

import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from cells import cells_of, kinds_of
from drifts import DRIFTS, Drift, change_of
from folding import SPECIAL_CELLS, Folding, folding_of
from law import DAY_HOURS, SETTINGS, WEEK_HOURS, Law, Setting, law_of

from detectors.arrays import frozen
from detectors.reference import Reference

__all__ = ["DRIFTS", "PERIOD_HOURS", "SETTINGS", "Drifted", "Setting", "Stream", "World", "world_of"]

PERIOD_HOURS = 4 * WEEK_HOURS
"""Hours of the reference, and of production without drift."""

_HOUR_S = 3600
_MONDAY_S = 1_767_571_200  # 2026-01-05T00:00:00Z
_CLEAN_HOURS = 24
_DRIFTED_HOURS = 48


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """Counts of consecutive hours.

    Parameters
    ----------
    starts_s : ndarray of int64, shape [n_windows]
        Starts of the hours, seconds since the epoch.
    rows : ndarray of int64, shape [n_windows]
    counts : ndarray of int64, shape [n_windows, n_segments]
        A column's groups, then missing, then invalid, as in `Reference.segment_starts`.
    offsets : ndarray of intp, shape [n_columns + 1]
        First segment of each column, and the total.
    numeric : ndarray of bool, shape [n_columns]
    cells : ndarray of unsigned integers, shape [n_windows, n_cells_total]
        Counts per cell, for rules that look closer than groups: a column's cells, then missing, then invalid.
    cell_offsets : ndarray of intp, shape [n_columns + 1]
    cell_values : ndarray of float64, shape [n_cells_total]
        The number that every value of a cell is; NaN for missing and invalid.
    """

    starts_s: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.intp]
    numeric: npt.NDArray[np.bool_]
    cells: npt.NDArray[np.unsignedinteger]
    cell_offsets: npt.NDArray[np.intp]
    cell_values: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drifted:
    """A stream whose windows from number `onset` on have drifted, in these columns."""

    drift: str
    stream: Stream
    onset: int
    columns: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """One replicate of a setting: its reference, and as much traffic of the same law as is asked for."""

    setting: Setting
    seed: int
    law: Law
    folding: Folding
    reference: Stream

    @cached_property
    def fitted(self) -> Reference:
        """The product's reference of the reference stream."""
        stream = self.reference
        return self.folding.reference_of(stream.starts_s, stream.rows, stream.counts)

    def production(self, hours: int = PERIOD_HOURS) -> Stream:
        """Draw traffic without drift, from the Monday on at which the reference ends."""
        rng = _rng(self.setting, self.seed, "production")
        return _stream(self.folding, self.law, PERIOD_HOURS, *self.law.draw(rng, PERIOD_HOURS, hours, hours))

    def drifted(self, drift: Drift) -> Drifted:
        """Draw a stream in which a drift begins."""
        rng = _rng(self.setting, self.seed, drift.name)
        change = change_of(drift, self.law.kinds, rng)
        first = PERIOD_HOURS + DAY_HOURS * int(rng.integers(WEEK_HOURS // DAY_HOURS))
        onset = _CLEAN_HOURS + int(rng.integers(DAY_HOURS))
        drawn = self.law.draw(rng, first, _CLEAN_HOURS + DAY_HOURS + _DRIFTED_HOURS, onset, change)
        stream = _stream(self.folding, self.law, first, *drawn)
        return Drifted(drift=drift.name, stream=stream, onset=onset, columns=change.columns)


def world_of(setting: Setting, seed: int) -> World:
    """Draw the law of a replicate, and its reference."""
    kinds = kinds_of(setting.n_columns)
    law = law_of(setting, kinds, _rng(setting, seed, "law"))
    rows, cells = law.draw(_rng(setting, seed, "reference"), 0, PERIOD_HOURS, PERIOD_HOURS)
    folding = folding_of(kinds, cells.sum(axis=0, dtype=np.int64))
    reference = _stream(folding, law, 0, rows, cells)
    return World(setting=setting, seed=seed, law=law, folding=folding, reference=reference)


def _rng(setting: Setting, seed: int, name: str) -> np.random.Generator:
    words = [zlib.crc32(word.encode()) for word in (setting.name, name)]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


def _stream(
    folding: Folding, law: Law, first_hour: int, rows: npt.NDArray[np.int64], cells: npt.NDArray[np.unsignedinteger]
) -> Stream:
    values = [cells_of(kind.name, kind.size).values for kind in law.kinds]
    special = np.full(SPECIAL_CELLS, np.nan)
    return Stream(
        starts_s=frozen(_MONDAY_S + _HOUR_S * np.arange(first_hour, first_hour + rows.size, dtype=np.int64)),
        rows=frozen(rows),
        counts=frozen(folding.segments(cells)),
        offsets=folding.offsets,
        numeric=np.array([kind.numeric for kind in law.kinds], dtype=np.bool_),
        cells=frozen(cells),
        cell_offsets=np.concatenate([[0], np.cumsum([part.size + SPECIAL_CELLS for part in values])]).astype(np.intp),
        cell_values=np.concatenate([part for own in values for part in (own, special)]),
    )
