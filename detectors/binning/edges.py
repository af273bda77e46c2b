"""Bin edges of a numeric column, in the number type of the data that is to be binned.

A value's bin is the number of edges below it. A point g gives the edge "at g" (x <= g) and, where g is an atom, the edge
"below g" (x < g) in front of it. Neither needs a tolerance: for float data "below g" is the float before g; for integer
data it is the integer before g. Points of one type are compared with data of another by rounding each edge *down* in the
data's type, which changes no comparison: for integer x, x <= 2.5 is x <= 2.
"""

from dataclasses import dataclass
from math import ceil, floor
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray

__all__ = ["Edges", "Family", "edges_of"]

Family = Literal["float64", "int64", "uint64"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edges:
    """Sorted edges of one number type.

    Parameters
    ----------
    values : ndarray of the family's dtype, shape [n_edges]
        Not decreasing; a value's bin is `below + (number of values < x)`.
    below : int
        Edges under everything that the type can say, so that they need no comparison.
    """

    values: npt.NDArray[Any]
    below: int = 0


def edges_of(points: npt.NDArray[Any], atoms: BoolArray, family: Family) -> Edges:
    """Edges of reference points for data of one number type.

    Parameters
    ----------
    points : ndarray of float64, int64 or uint64, shape [n_points]
        Strictly increasing and finite.
    atoms : ndarray of bool, shape [n_points]
    family : {"float64", "int64", "uint64"}
        Type of the data to be compared with the edges. Exact: no value of that type changes its bin by the conversion.

    Returns
    -------
    Edges
        `np.count_nonzero(atoms) + n_points` of them, those in `below` included.
    """
    if points.dtype == np.float64 and family == "float64":
        with np.errstate(over="ignore"):  # below the smallest double is -inf, and that is right
            below_points = np.nextafter(points, -np.inf)
        return Edges(values=_interleave(below_points, points, atoms))
    exact: list[float] | list[int] = points.tolist()
    if family == "float64":
        at = np.array([_float_at_or_below(int(p)) for p in exact], dtype=np.float64)
        below = np.array([_float_below(int(p)) for p in exact], dtype=np.float64)
        return Edges(values=_interleave(below, at, atoms))
    return _integer_edges([floor(p) for p in exact], [ceil(p) - 1 for p in exact], atoms, family)


def _interleave(below: npt.NDArray[Any], at: npt.NDArray[Any], atoms: BoolArray) -> npt.NDArray[Any]:
    exists = np.stack([atoms, np.ones_like(atoms)], axis=1)
    return np.stack([below, at], axis=1)[exists]


def _integer_edges(at: list[int], below: list[int], atoms: BoolArray, family: Literal["int64", "uint64"]) -> Edges:
    # Python integers first: an edge may lie outside the type. Under its range it is below every value; over its range
    # the largest value stands for it, which nothing exceeds.
    info = np.iinfo(family)
    both = [edge for b, a, atom in zip(below, at, atoms.tolist(), strict=True) for edge in ((b, a) if atom else (a,))]
    inside = [min(edge, int(info.max)) for edge in both if edge >= int(info.min)]
    return Edges(values=np.array(inside, dtype=family), below=len(both) - len(inside))


def _float_at_or_below(integer: int) -> float:
    nearest = float(integer)
    return nearest if int(nearest) <= integer else float(np.nextafter(nearest, -np.inf))


def _float_below(integer: int) -> float:
    nearest = float(integer)
    return nearest if int(nearest) < integer else float(np.nextafter(nearest, -np.inf))
