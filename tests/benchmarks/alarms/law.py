"""Traffic row by row: how many rows an hour has, the level of each column, and what is drawn from them.

Each row has a latent standard normal number a column, with a correlation of .3 between any two columns; to it the column's
*level* of that hour is added, and the sum is looked up in the column's cells (`tests/benchmarks/alarms/cells.py`). Rows, not
multinomial counts: a multinomial draw of 400 cells costs more than drawing 1,000 rows, and rows also have the correlation
within the hour. The level of a column is the sum of

- noise, the environment that is a little different every hour: AR(1) with .8 from hour to hour and a standard deviation
  of .05, correlated .3 between columns;
- season: a sine of the day with an amplitude of .3, each column with a phase of its own, and .15 up or down at weekends;
- the shift of a drift.

The traffic is Poisson around the setting's rows an hour; with season around a daily cycle from .4 to 1.6 times as much;
`swing` goes from 50 to 5,000 rows an hour every day. Whether a value is missing depends on nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cells import LATENT_PER_UNIT, LATENT_ZERO, Kind, cells_of
from drifts import NO_CHANGE, Change, shaped
from folding import SPECIAL_CELLS

__all__ = ["DAY_HOURS", "SETTINGS", "WEEK_HOURS", "Law", "Setting", "law_of"]

DAY_HOURS = 24
WEEK_HOURS = 7 * DAY_HOURS

_WORKDAYS = 5
_CORRELATION = 0.3
_NOISE_MEMORY = 0.8
_NOISE_DEVIATION = 0.05
_SEASON_AMPLITUDE = 0.3
_WEEKEND_LEVEL = 0.15
_TRAFFIC_AMPLITUDE = 0.6
_TROUGH_HOUR = 3
_SWING_ROWS = (50, 5000)
_SWING_AMPLITUDE = 0.8  # of the way from the middle, in logarithms, to the ends
_SWING_JITTER = 0.25
_CHUNK_ROWS = 1 << 15  # rows drawn at a time: their numbers stay in the cache
_STRIDE = 512  # of an hour in the keys that are counted; no column has more cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What traffic without drift is like.

    `detection`: one of the six settings whose detection is averaged; `trivial`: one that shows that the trivial shift stays
    silent. Streams with drift are scored in these only.
    """

    name: str
    rows_per_hour: int
    noise: bool = False
    season: bool = False
    swing: bool = False
    n_columns: int = 20
    detection: bool = False
    trivial: bool = False


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        *(
            Setting(name=f"{name}_{rows}", rows_per_hour=rows, noise=noise, season=season, detection=True, trivial=True)
            for rows in (1000, 200)
            for name, noise, season in (("iid", False, False), ("noise", True, False), ("season", True, True))
        ),
        Setting(name="iid_100000", rows_per_hour=100_000, trivial=True),
        Setting(name="swing", rows_per_hour=500, noise=True, swing=True),
        *(
            Setting(name=f"{name}_{rows}_wide", rows_per_hour=rows, noise=noise, n_columns=200)
            for rows in (1000, 200)
            for name, noise in (("iid", False), ("noise", True))
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Law:
    """What the traffic of one replicate is drawn from.

    Parameters
    ----------
    setting : Setting
    kinds : sequence of Kind
    phases : ndarray of float64, shape [n_columns]
        Of the daily season, radians.
    weekends : ndarray of float64, shape [n_columns]
        Level at weekends.
    """

    setting: Setting
    kinds: Sequence[Kind]
    phases: npt.NDArray[np.float64]
    weekends: npt.NDArray[np.float64]

    def draw(
        self, rng: np.random.Generator, first_hour: int, hours: int, onset: int, change: Change = NO_CHANGE
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.unsignedinteger]]:
        """Draw consecutive hours, counted from a Monday's midnight, of which those from `onset` on have the change.

        Returns
        -------
        rows : ndarray of int64, shape [hours]
        cells : ndarray of unsigned integers, shape [hours, n_cells_total]
            A column's cells, then missing, then invalid.
        """
        hour = np.arange(first_hour, first_hour + hours)
        rows = self._rows(rng, hour)
        levels = self._levels(rng, hour)
        levels[onset:, list(change.columns)] += change.shift
        narrow = np.min_scalar_type(int(rows.max()))
        parts = [np.zeros((hours, _n_cells(kind)), dtype=narrow) for kind in self.kinds]
        for low, high in _chunks(rows, onset):
            now = change if low >= onset else NO_CHANGE
            for index, counts in enumerate(self._counts(rng, rows[low:high], levels[low:high], now)):
                parts[index][low:high] = counts
        return rows, np.concatenate(parts, axis=1)

    def _rows(self, rng: np.random.Generator, hour: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        cycle = -np.cos(2 * np.pi * (hour - _TROUGH_HOUR) / DAY_HOURS)
        if self.setting.swing:
            low, high = np.log(_SWING_ROWS)
            place = np.clip(_SWING_AMPLITUDE * cycle + _SWING_JITTER * rng.standard_normal(hour.size), -1, 1)
            return np.rint(np.exp((low + high) / 2 + place * (high - low) / 2)).astype(np.int64)
        amplitude = _TRAFFIC_AMPLITUDE if self.setting.season else 0.0
        return rng.poisson(self.setting.rows_per_hour * (1 + amplitude * cycle))

    def _levels(self, rng: np.random.Generator, hour: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        levels = np.zeros((hour.size, len(self.kinds)))
        if self.setting.noise:
            drawn = np.sqrt(1 - _CORRELATION) * rng.standard_normal(levels.shape)
            drawn += np.sqrt(_CORRELATION) * rng.standard_normal((hour.size, 1))
            drawn[1:] *= np.sqrt(1 - _NOISE_MEMORY**2)
            for now in range(1, hour.size):
                drawn[now] += _NOISE_MEMORY * drawn[now - 1]
            levels += _NOISE_DEVIATION * drawn
        if self.setting.season:
            day = 2 * np.pi * hour / DAY_HOURS
            levels += _SEASON_AMPLITUDE * np.sin(day[:, None] + self.phases)
            levels += np.where((hour // DAY_HOURS % 7 >= _WORKDAYS)[:, None], self.weekends, 0.0)
        return levels

    def _counts(
        self,
        rng: np.random.Generator,
        rows: npt.NDArray[np.int64],
        levels: npt.NDArray[np.float64],
        change: Change,
    ) -> Iterator[npt.NDArray[np.int64]]:
        """Counts per hour and cell of each column in turn."""
        n_rows = int(rows.sum())
        keys = np.repeat(np.arange(rows.size) * _STRIDE, rows)
        common = rng.standard_normal(n_rows, dtype=np.float32) * np.float32(np.sqrt(_CORRELATION) * LATENT_PER_UNIT)
        own = np.float32(np.sqrt(1 - _CORRELATION) * LATENT_PER_UNIT)
        origins = (levels * LATENT_PER_UNIT + LATENT_ZERO).astype(np.float32)
        latent, steps = np.empty(n_rows, dtype=np.float32), np.empty(n_rows, dtype=np.intp)
        for index, kind in enumerate(self.kinds):
            changed = change if index in change.columns else NO_CHANGE
            rng.standard_normal(out=latent, dtype=np.float32)
            latent *= own
            latent += common
            if changed.shape:
                latent = shaped(latent / LATENT_PER_UNIT) * np.float32(LATENT_PER_UNIT)
            latent *= np.float32(changed.spread)
            latent += np.repeat(origins[:, index], rows)
            np.copyto(steps, latent, casting="unsafe")
            cells = cells_of(kind.name, kind.size).of_step.take(steps, mode="clip")
            cells = _replaced(rng, cells, kind, changed)
            cells += keys
            yield np.bincount(cells, minlength=rows.size * _STRIDE).reshape(-1, _STRIDE)[:, : _n_cells(kind)]


def law_of(setting: Setting, kinds: Sequence[Kind], rng: np.random.Generator) -> Law:
    """Draw the season of each column."""
    return Law(
        setting=setting,
        kinds=kinds,
        phases=rng.uniform(0, 2 * np.pi, len(kinds)),
        weekends=_WEEKEND_LEVEL * rng.choice([-1.0, 1.0], len(kinds)),
    )


def _n_cells(kind: Kind) -> int:
    return cells_of(kind.name, kind.size).values.size + SPECIAL_CELLS


def _chunks(rows: npt.NDArray[np.int64], onset: int) -> Iterator[tuple[int, int]]:
    """Ranges of hours with about as many rows as are drawn at a time, never across the onset."""
    chunk = (np.cumsum(rows) - rows) // _CHUNK_ROWS
    bounds = np.unique([0, onset, *(np.flatnonzero(np.diff(chunk)) + 1), rows.size])
    return zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)


def _replaced(
    rng: np.random.Generator, cells: npt.NDArray[np.intp], kind: Kind, change: Change
) -> npt.NDArray[np.intp]:
    """Cells of the rows after what happens to a share of them whatever their value."""
    if change.mirrored_share:
        chosen = rng.random(cells.size, dtype=np.float32) < change.mirrored_share
        cells[chosen] = kind.size - 1 - cells[chosen]
    if change.constant_share:
        cells[rng.random(cells.size, dtype=np.float32) < change.constant_share] = change.constant_cell
    missing_share = kind.missing_share if change.missing_share is None else change.missing_share
    if missing_share:
        cells[rng.random(cells.size, dtype=np.float32) < missing_share] = _n_cells(kind) - SPECIAL_CELLS
    return cells
