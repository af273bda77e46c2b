"""The drifts of the protocol, and what each does to the rows of a column.

Shifts and spreads are of the latent number (`tests/benchmarks/alarms/cells.py`), so that a shift of .25 is as hard to see in
a lognormal column as in a normal one. Where a drift sits in one column, the column is drawn by seed from those that it can
sit in: one with a density, one with 5 or 30 categories, one with missing values.

- shape: the latent number has two peaks, at -.75 and .75, with the mean and the standard deviation of before;
- mix: a tenth of the rows take the category at the mirrored place, so that their shares stand in reversed order;
- constant: 3 % of the rows have the same default value, one between the 10th and the 90th percentile;
- trivial: .02 in all columns, which is not worth an alarm; it is scored apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
from cells import LATENT_PER_UNIT, LATENT_ZERO, Kind, cells_of, latent_grid
from scipy.special import ndtr, ndtri

__all__ = ["DRIFTS", "NO_CHANGE", "TRIVIAL", "Change", "Drift", "change_of", "shaped"]

_PEAK = 0.75
_CONSTANT_RANKS = (0.1, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a drift does to the rows of some columns; shares are of the rows, `constant_cell` is the default value's."""

    columns: tuple[int, ...] = ()
    shift: float = 0.0
    spread: float = 1.0
    shape: bool = False
    mirrored_share: float = 0.0
    missing_share: float | None = None
    constant_share: float = 0.0
    constant_cell: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A drift; `where` says which columns it can sit in, `change` what it does there."""

    name: str
    where: str
    change: Change


DRIFTS: tuple[Drift, ...] = (
    Drift(name="mean +.25", where="density", change=Change(shift=0.25)),
    Drift(name="mean +.5", where="density", change=Change(shift=0.5)),
    Drift(name="mean +.1", where="density", change=Change(shift=0.1)),
    Drift(name="mean +.1, all columns", where="all", change=Change(shift=0.1)),
    Drift(name="sd x1.25", where="density", change=Change(spread=1.25)),
    Drift(name="shape", where="density", change=Change(shape=True)),
    Drift(name="mix of 5", where="categorical 5", change=Change(mirrored_share=0.1)),
    Drift(name="mix of 30", where="categorical 30", change=Change(mirrored_share=0.1)),
    Drift(name="missing 5 -> 8 %", where="missing", change=Change(missing_share=0.08)),
    Drift(name="3 % constant", where="density", change=Change(constant_share=0.03)),
    Drift(name="trivial", where="all", change=Change(shift=0.02)),
)
TRIVIAL = "trivial"
NO_CHANGE = Change()


def change_of(drift: Drift, kinds: Sequence[Kind], rng: np.random.Generator) -> Change:
    """Draw the column of a drift, and the default value."""
    can = [index for index, kind in enumerate(kinds) if _can(drift.where, kind)]
    columns = tuple(can) if drift.where == "all" else (int(rng.choice(can)),)
    kind = kinds[columns[0]]
    step = LATENT_ZERO + int(LATENT_PER_UNIT * float(ndtri(rng.uniform(*_CONSTANT_RANKS))))
    cell = int(cells_of(kind.name, kind.size).of_step[step])
    return replace(drift.change, columns=columns, constant_cell=cell)


def shaped(latent: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Move latent numbers to the distribution with two peaks, keeping their order."""
    return np.interp(latent, latent_grid(), _shape()).astype(np.float32)


@cache
def _shape() -> npt.NDArray[np.float64]:
    axis = np.linspace(-8, 8, 32_001)
    deviation = np.sqrt(1 - _PEAK**2)
    half = axis >= 0  # by the upper tail there, which does not round to 1
    above = (ndtr((-axis - _PEAK) / deviation) + ndtr((-axis + _PEAK) / deviation)) / 2
    below = above[::-1]
    latent_of = np.where(half, -ndtri(np.maximum(above, 1e-300)), ndtri(np.maximum(below, 1e-300)))
    return np.interp(latent_grid(), latent_of, axis)


def _can(where: str, kind: Kind) -> bool:
    match where:
        case "all":
            return True
        case "density":
            return kind.continuous
        case "missing":
            return kind.missing_share > 0
        case _:
            return f"{kind.name} {kind.size}" == where
