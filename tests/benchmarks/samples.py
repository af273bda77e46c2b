"""Data that the benchmarks measure on, and references made of it in memory."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.binning import ColumnValues
from detectors.reference import Builder, Reference, add_all, plan_of, priorities, survey_of

__all__ = ["SHAPES", "Case", "case_of", "reference_of"]

Columns = dict[str, npt.NDArray]

SHAPES = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "lognormal": lambda rng, n: rng.lognormal(size=n),
    "cauchy": lambda rng, n: rng.standard_cauchy(n),
    "integer": lambda rng, n: rng.poisson(100, n).astype(np.float64),
}

_ALL_ROWS = 1 << 40  # sample rows: all, so that points are exact quantiles
_SHIFT = 0.5  # standard deviations: beyond doubt for every tool
_CATEGORIES = (3, 5, 8, 12, 20, 40)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """A reference and a window as raw columns; text columns are object arrays. `shifted` are the columns that moved."""

    reference: Columns
    window: Columns
    shifted: frozenset[str]


def case_of(n_columns: int, reference_rows: int, window_rows: int, seed: int = 0) -> Case:
    """Make five numeric columns to each categorical one; every tenth of either kind is shifted in the window."""
    rng = np.random.default_rng(seed)
    reference, window, shifted = {}, {}, set()
    n_numeric = n_columns * 5 // 6
    for i in range(n_numeric):
        draw = SHAPES[{8: "lognormal", 9: "integer"}.get(i % 10, "normal")]
        name = f"n{i}"
        reference[name], window[name] = draw(rng, reference_rows), draw(rng, window_rows)
        if i % 10 == 0:
            window[name] = window[name] + _SHIFT
            shifted.add(name)
    for i in range(n_columns - n_numeric):
        n = _CATEGORIES[i % len(_CATEGORIES)]
        names = np.array([f"category {k}" for k in range(n)], dtype=object)
        shares = rng.dirichlet(np.full(n, 5.0))
        name = f"c{i}"
        reference[name] = names[rng.choice(n, reference_rows, p=shares)]
        if i % 10 == 0:
            shares = np.sort(shares)[::-1] if shares[0] < shares[-1] else np.sort(shares)
            shifted.add(name)
        window[name] = names[rng.choice(n, window_rows, p=shares)]
    return Case(reference=reference, window=window, shifted=frozenset(shifted))


def reference_of(columns: Mapping[str, npt.NDArray]) -> Reference:
    """Reference of columns in memory, at the default resolution and without blocks."""
    rows = len(next(iter(columns.values())))
    values = {name: ColumnValues(values=array) for name, array in columns.items()}
    priority = priorities(np.random.default_rng(0), rows)
    plans = []
    for name, array in columns.items():
        survey = survey_of("numeric" if array.dtype.kind == "f" else "categorical", _ALL_ROWS)
        add_all([survey], [values[name]], priority)
        plans.append(plan_of(name, "input", survey))
    builder = Builder(plans)
    builder.add(values, rows)
    return builder.finish(
        model="benchmark",
        version="1",
        created_at="2026-01-01T00:00:00Z",
        window="1h",
        time_zone="UTC",
        time_column=None,
        sample_rows=0,
        provenance={},
    )
