"""The columns of the synthetic streams, and the fine cells that their values fall into.

Every value is a function of a *latent* standard normal number, so that a level (noise, season, drift) is one shift of that
number whatever the column's distribution. The latent axis is cut into cells; all values of a cell are the same number, the
median of the cell. So data have up to 400 distinct values a column, every tool sees exactly the same ones, and counts per
cell lose nothing: KS and Wasserstein from cells are those of the raw values. Cells have less than 0.45 % of the rows.

Columns, in this order: 6 normal, 4 lognormal, 2 Student t with 3 degrees of freedom, 2 bimodal (half the values around -2,
half around 2), Poisson of mean 4 (a group a value) and of mean 30 (deciles), and 4 categorical with 5, 30, 5 and 30
categories. The k-th category's share goes as 1 / k, and categories lie on the latent axis in that order. One column of each
of four kinds has 5 % missing values.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc, ndtr, ndtri, stdtrit

__all__ = ["LATENT_PER_UNIT", "LATENT_ZERO", "Cells", "Kind", "cells_of", "kinds_of", "latent_grid"]

LATENT_PER_UNIT = 1024
"""Steps of the latent axis in one standard deviation; edges of cells are whole steps, so that looking up is exact."""
LATENT_ZERO = 8 * LATENT_PER_UNIT
"""Step of latent 0: the axis goes from -8 to 8."""

_N_CELLS = 400
_LATENT_RANGE = 4.5  # the outermost cells go on from there
_POISSON_VALUES = {4: 33, 30: 96}  # mean -> values below which all of 16 standard deviations lie
_BIMODAL_DISTANCE = 2.0
_STUDENT_FREEDOM = 3.0
_MISSING_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of column; `size` is the mean of a Poisson column, the number of categories of a categorical one."""

    name: str
    size: int = 0
    missing_share: float = 0.0

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return self.name != "categorical"

    @property
    def continuous(self) -> bool:
        """Whether its distribution has a density."""
        return self.name not in ("categorical", "poisson")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """The cells of a kind.

    Parameters
    ----------
    of_step : ndarray of intp, shape [2 * LATENT_ZERO]
        Cell of each step of the latent axis.
    values : ndarray of float64, shape [n_cells]
        Increasing; category numbers of a categorical column, whose last cell is that of other categories and stays empty.
    """

    of_step: npt.NDArray[np.intp]
    values: npt.NDArray[np.float64]


_TWENTY = (
    *[Kind("normal")] * 5,
    Kind("normal", missing_share=_MISSING_SHARE),
    *[Kind("lognormal")] * 3,
    Kind("lognormal", missing_share=_MISSING_SHARE),
    *[Kind("student")] * 2,
    Kind("bimodal"),
    Kind("bimodal", missing_share=_MISSING_SHARE),
    Kind("poisson", 4),
    Kind("poisson", 30),
    Kind("categorical", 5),
    Kind("categorical", 30),
    Kind("categorical", 5),
    Kind("categorical", 30, _MISSING_SHARE),
)


def kinds_of(n_columns: int) -> tuple[Kind, ...]:
    """Kinds of so many columns: the twenty, repeated."""
    return tuple(_TWENTY[index % len(_TWENTY)] for index in range(n_columns))


def latent_grid() -> npt.NDArray[np.float64]:
    """Latent numbers at the middles of the steps."""
    return (np.arange(2 * LATENT_ZERO) - LATENT_ZERO + 0.5) / LATENT_PER_UNIT


@cache
def cells_of(name: str, size: int = 0) -> Cells:
    """Cells of a kind, by its name and size."""
    if name == "categorical":
        shares = 1 / np.arange(1, size + 1)
        return Cells(of_step=_steps(ndtri(np.cumsum(shares / shares.sum())[:-1])), values=np.arange(size + 1.0))
    if name == "poisson":
        values = np.arange(_POISSON_VALUES[size])
        return Cells(of_step=_steps(_poisson_edges(values, size)), values=values.astype(np.float64))
    edges = _even_edges()
    # The middle by rank; the outermost cells have tails, and their medians.
    ranks = ndtr(np.concatenate([[-np.inf], edges, [np.inf]]))
    latent = ndtri((ranks[1:] + ranks[:-1]) / 2)
    return Cells(of_step=_steps(edges), values=_values(name, latent))


def _even_edges() -> npt.NDArray[np.float64]:
    """Edges that part both rows and the axis evenly, half and half: small shares in the middle, small widths outside."""
    axis = np.linspace(-_LATENT_RANGE, _LATENT_RANGE, 100_001)
    place = (ndtr(axis) + (axis + _LATENT_RANGE) / (2 * _LATENT_RANGE)) / 2
    edges = np.interp(np.arange(1, _N_CELLS) / _N_CELLS, place, axis)
    return np.round(edges * LATENT_PER_UNIT) / LATENT_PER_UNIT


def _poisson_edges(values: npt.NDArray[np.int64], mean: int) -> npt.NDArray[np.float64]:
    above = gammainc(values[:-1] + 1.0, mean)  # P(X > value), exact in the upper tail
    return np.asarray(-ndtri(above))


def _steps(edges: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    cells = np.searchsorted(edges, latent_grid(), side="left").astype(np.intp)
    cells.flags.writeable = False
    return cells


def _values(name: str, latent: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if name == "lognormal":
        return np.exp(latent)
    if name == "student":
        return np.asarray(stdtrit(_STUDENT_FREEDOM, ndtr(latent)))
    if name == "bimodal":
        axis = np.linspace(-12, 12, 48_001)
        rank = (ndtr(axis - _BIMODAL_DISTANCE) + ndtr(axis + _BIMODAL_DISTANCE)) / 2
        return np.interp(ndtr(latent), rank, axis)
    return latent
