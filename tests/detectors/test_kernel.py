"""The table lookup agrees with np.searchsorted on everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from detectors.binning.edges import Edges
from detectors.binning.kernel import FlatTables, ranks
from detectors.binning.table import QUICK_PASSES, table_of

TINY, HUGE = 5e-324, 1.7976931348623157e308
INF = np.inf


def around(values):
    """Each value, its neighbours, and the usual suspects."""
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(all="ignore"):
        near = [values, np.nextafter(values, INF), np.nextafter(values, -INF), values * (1 + 1e-9), -values]
    odd = [0.0, -0.0, TINY, -TINY, 1e-308, HUGE, -HUGE, INF, -INF, np.nan, 1.0, -1.0]
    return np.concatenate([*near, odd])


def edge_sets(rng):
    normal = np.sort(rng.standard_normal(256))
    yield "normal", normal
    yield "neighbours", 1.0 + np.arange(300) * 2.0**-52
    yield "doubled neighbours", np.sort(np.concatenate([normal, np.nextafter(normal, -INF)]))
    yield "denormals", np.arange(1, 200) * TINY
    yield "across zero", np.array([-TINY, -0.0, 0.0, TINY])
    yield "whole range", np.array([-HUGE, -1.0, 0.0, 1.0, HUGE])
    yield "huge", np.sort(rng.uniform(1e307, HUGE, 100))
    yield "one outlier", np.append(normal, 1e300)
    yield "two outliers", np.concatenate([[-1e300], normal, [1e300]])
    yield "huge offset", 1e15 + np.arange(500) * 0.125
    yield "tiny range, huge offset", 1e300 * (1 + np.arange(100) * 2.0**-52)
    yield "cauchy", np.quantile(rng.standard_cauchy(100_000), np.linspace(0, 1, 256), method="inverted_cdf")
    yield "log-uniform", np.sort(10.0 ** rng.uniform(-300, 300, 256))
    yield "integers", np.arange(-128.0, 128.0)
    yield "repeated", np.repeat(np.arange(20.0), 13)
    yield "one", np.array([3.0])
    yield "two equal", np.array([3.0, 3.0])
    yield "none", np.empty(0)
    yield "infinite", np.array([-INF, 0.0, INF])
    yield "many", np.sort(rng.lognormal(0, 3, 8192))


def test_a_million_fuzzed_values_are_where_searchsorted_puts_them():
    rng = np.random.default_rng(20110101)
    compared = 0
    for seed in range(12):
        for name, edges in edge_sets(np.random.default_rng(seed)):
            table = table_of(Edges(values=edges))
            with np.errstate(over="ignore"):
                spread = rng.choice(edges, 3000) * rng.lognormal(0, 0.1, 3000) if edges.size else np.empty(0)
            between = (
                rng.uniform(edges[0], edges[-1], 3000) if edges.size and np.ptp(edges[[0, -1]] / 2) < HUGE / 2 else []
            )
            values = np.concatenate([around(edges[:2000]), spread, between, rng.standard_normal(1000)])

            found = ranks(table, values, nan_rank=-7)

            expected = np.where(np.isnan(values), -7, np.searchsorted(edges, values, side="left"))
            assert np.array_equal(found, expected), name
            compared += values.size
    assert compared > 1_000_000


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_integers_near_the_end_of_their_type_are_told_apart(dtype):
    info = np.iinfo(dtype)
    rng = np.random.default_rng(1)
    compared = 0
    for top in (info.max, info.min + 600, 2**53 + 300, 2**62):
        edges = np.sort(rng.choice(np.arange(500), 200, replace=False)).astype(dtype)
        edges = (dtype(top) - dtype(500)) + edges
        ends = np.array([info.min, info.max, 0], dtype=dtype)
        values = np.concatenate([(dtype(top) - dtype(500)) + np.arange(501).astype(dtype), ends])

        found = ranks(table_of(Edges(values=edges)), values, nan_rank=-7)

        assert np.array_equal(found, np.searchsorted(edges, values, side="left"))
        compared += values.size
    assert compared > 2000


@settings(max_examples=300, deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(0, 40), elements=st.floats(allow_nan=False)),
    hnp.arrays(np.float64, st.integers(0, 60), elements=st.floats()),
)
def test_any_edges_and_any_values(edges, values):
    edges = np.sort(edges)

    found = ranks(table_of(Edges(values=edges)), values, nan_rank=-7)

    assert np.array_equal(found, np.where(np.isnan(values), -7, np.searchsorted(edges, values, side="left")))


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.int64, st.integers(1, 30)), hnp.arrays(np.int64, st.integers(0, 60)))
def test_any_integers(edges, values):
    edges = np.sort(edges)

    found = ranks(table_of(Edges(values=edges)), values, nan_rank=-7)

    assert np.array_equal(found, np.searchsorted(edges, values, side="left"))


def test_values_beyond_one_block_and_strided_ones():
    edges = np.sort(np.random.default_rng(0).standard_normal(256))
    values = np.random.default_rng(1).standard_normal(50_001)[::2]

    found = ranks(table_of(Edges(values=edges)), values, nan_rank=-7)

    assert np.array_equal(found, np.searchsorted(edges, values, side="left"))


def test_edges_below_the_whole_type_are_added():
    edges = Edges(values=np.array([5], dtype=np.int64), below=2)

    assert ranks(table_of(edges), np.array([1, 9], dtype=np.int64), nan_rank=-7).tolist() == [2, 3]


@pytest.mark.parametrize("name", ["normal", "one outlier", "cauchy", "integers", "two outliers"])
def test_skewed_edges_still_need_only_two_comparisons(name):
    edges = dict(edge_sets(np.random.default_rng(3)))[name]

    assert table_of(Edges(values=edges)).passes <= QUICK_PASSES


def test_blocks_of_rows_agree_with_columns():
    rng = np.random.default_rng(5)
    edges = [np.sort(rng.standard_normal(n)) for n in (1, 2, 17, 256)]
    tables = [table_of(Edges(values=e)) for e in edges]
    sizes = np.array([e.size + 3 for e in edges])
    offsets = np.cumsum(sizes) - sizes
    nan_bins = offsets + sizes - 2
    flat = FlatTables.of(tables, offsets, nan_bins, int(sizes.sum()))
    rows = rng.standard_normal((5000, 4))
    rows[rng.random(rows.shape) < 0.05] = np.nan
    rows[rng.random(rows.shape) < 0.05] = np.inf
    rows[7] = -np.inf

    found = flat.bins(rows)

    for column, e in enumerate(edges):
        expected = np.searchsorted(e, rows[:, column], side="left") + offsets[column]
        assert np.array_equal(found[:, column], np.where(np.isnan(rows[:, column]), nan_bins[column], expected))
