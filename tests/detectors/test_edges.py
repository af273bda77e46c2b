"""Edges mean the same for data of every number type."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.binning.edges import edges_of
from detectors.binning.kernel import ranks
from detectors.binning.table import table_of

FAMILIES = {"float64": np.float64, "int64": np.int64, "uint64": np.uint64}
integers = st.integers(-(2**63), 2**64 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)


def naive_bin(points, atoms, value):
    """Bin by Python's exact comparisons: how many edges lie below the value."""
    return sum((atom and value >= point) + (value > point) for point, atom in zip(points, atoms, strict=True))


def as_points(numbers):
    for dtype in (np.int64, np.uint64):
        if all(isinstance(n, int) and np.iinfo(dtype).min <= n <= np.iinfo(dtype).max for n in numbers):
            return np.array(sorted(set(numbers)), dtype=dtype)
    return np.array(sorted({float(n) for n in numbers}), dtype=np.float64)


def fits(value, family):
    if family == "float64":
        return isinstance(value, float)
    info = np.iinfo(family)
    return isinstance(value, int) and info.min <= value <= info.max


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_bins_are_those_of_exact_comparison(family, data):
    points = as_points(data.draw(st.lists(st.one_of(integers, floats), min_size=1, max_size=8)))
    atoms = np.array(data.draw(st.lists(st.booleans(), min_size=points.size, max_size=points.size)), dtype=np.bool_)
    near = [n + d for p in points.tolist() if abs(p) < 1e19 for n in (int(p),) for d in (-1, 0, 1)]
    values = [
        v for v in (*points.tolist(), *near, *data.draw(st.lists(st.one_of(integers, floats)))) if fits(v, family)
    ]
    table = table_of(edges_of(points, atoms, family))

    found = ranks(table, np.array(values, dtype=FAMILIES[family]), nan_rank=-7)

    assert found.tolist() == [naive_bin(points.tolist(), atoms.tolist(), value) for value in values]


def test_neighbours_beyond_2_to_the_53_have_bins_of_their_own():
    points = np.array([2**53, 2**53 + 1, 2**53 + 2], dtype=np.int64)
    table = table_of(edges_of(points, np.ones(3, dtype=np.bool_), "int64"))

    assert ranks(table, points, nan_rank=-7).tolist() == [1, 3, 5]
