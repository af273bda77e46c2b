import numpy as np
import pytest
from cells import LATENT_ZERO, cells_of, kinds_of, latent_grid
from drifts import DRIFTS, shaped
from scipy import stats
from streams import SETTINGS, Setting, world_of

_FEW_ROWS = Setting(name="test", rows_per_hour=60, noise=True, season=True)


@pytest.fixture(scope="module")
def world():
    return world_of(_FEW_ROWS, seed=3)


@pytest.fixture(scope="module")
def large():
    return world_of(Setting(name="large", rows_per_hour=1000), seed=0)


def test_segments_are_those_of_the_products_reference(world):
    reference, stream = world.fitted, world.reference

    np.testing.assert_array_equal(reference.segment_offsets, stream.offsets)
    np.testing.assert_array_equal(reference.segments(reference.counts), stream.counts.sum(axis=0))
    np.testing.assert_array_equal(reference.layout.numeric, stream.numeric)
    assert reference.blocks.counts.shape == stream.counts.shape


def test_cells_fold_into_the_groups_that_the_products_binner_would_count(world):
    reference, stream = world.fitted, world.production()
    for index in (0, 6, 14, 15):
        cells = slice(*stream.cell_offsets[index : index + 2] - [0, 2])
        column, starts = reference.columns[index], reference.group_starts[index]
        below = np.concatenate([column.points, np.nextafter(column.points[column.atoms], -np.inf)])
        bins = (below[:, None] < stream.cell_values[cells]).sum(axis=0)
        groups = np.searchsorted(starts, bins, side="right") - 1

        expected = [stream.cells[:, cells][:, groups == group].sum(axis=1) for group in range(starts.size)]

        found = stream.counts[:, stream.offsets[index] : stream.offsets[index + 1] - 2]
        np.testing.assert_array_equal(found, np.transpose(expected))


@pytest.mark.parametrize("part", ["reference", "production", "drifted"])
def test_every_row_is_counted_once_in_every_column(world, part):
    stream = {
        "reference": world.reference,
        "production": world.production(),
        "drifted": world.drifted(DRIFTS[6]).stream,
    }[part]

    by_segment = np.add.reduceat(stream.counts, stream.offsets[:-1], axis=1)
    by_cell = np.add.reduceat(stream.cells, stream.cell_offsets[:-1], axis=1, dtype=np.int64)

    np.testing.assert_array_equal(by_segment, np.repeat(stream.rows[:, None], 20, axis=1))
    np.testing.assert_array_equal(by_cell, by_segment)


def test_a_seed_gives_the_same_streams_again_and_another_seed_gives_others(world):
    again, other = world_of(_FEW_ROWS, seed=3), world_of(_FEW_ROWS, seed=4)

    np.testing.assert_array_equal(again.reference.counts, world.reference.counts)
    np.testing.assert_array_equal(again.drifted(DRIFTS[0]).stream.cells, world.drifted(DRIFTS[0]).stream.cells)
    assert not np.array_equal(again.reference.rows, other.reference.rows)
    assert not np.array_equal(world.reference.rows, world.production().rows)


def test_streams_begin_where_the_reference_ends_on_a_monday(world):
    production = world.production()

    assert world.reference.starts_s[0] % 604_800 == 345_600  # the epoch began on a Thursday
    np.testing.assert_array_equal(np.diff(np.append(world.reference.starts_s, production.starts_s)), 3600)


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.name)
def test_a_drift_has_a_clean_day_before_it_and_two_days_after(world, drift):
    drifted = world.drifted(drift)

    assert 24 <= drifted.onset < 48
    assert drifted.stream.rows.size - drifted.onset >= 48
    assert drifted.stream.starts_s[0] % 86_400 == 0


@pytest.mark.parametrize(
    ("name", "size", "law"),
    [
        ("normal", 0, stats.norm()),
        ("lognormal", 0, stats.lognorm(1)),
        ("student", 0, stats.t(3)),
        ("poisson", 4, stats.poisson(4)),
        ("poisson", 30, stats.poisson(30)),
    ],
)
def test_cells_hold_the_shares_of_their_distribution(name, size, law):
    cells = cells_of(name, size)
    shares = np.bincount(
        cells.of_step, np.diff(stats.norm.cdf((np.arange(2 * LATENT_ZERO + 1) - LATENT_ZERO) / 1024)), cells.values.size
    )

    running = np.cumsum(shares)

    if name == "poisson":
        np.testing.assert_allclose(running, law.cdf(cells.values), atol=5e-4)
    else:
        np.testing.assert_allclose(running - shares / 2, law.cdf(cells.values), atol=1e-9)
        assert shares.max() < 0.0045
    assert np.all(np.diff(cells.values) > 0)


def test_the_drifts_shape_keeps_mean_and_deviation():
    grid = latent_grid().astype(np.float32)
    weights = stats.norm.pdf(grid) / stats.norm.pdf(grid).sum()

    moved = shaped(grid).astype(np.float64)

    assert weights @ moved == pytest.approx(0, abs=1e-4)
    assert weights @ moved**2 == pytest.approx(1, abs=1e-3)
    assert np.all(np.diff(moved) >= 0)


def test_drifts_do_what_their_names_say(large):
    for drift in DRIFTS:
        drifted = large.drifted(drift)
        stream, column = drifted.stream, drifted.columns[0]
        cells = slice(*stream.cell_offsets[column : column + 2])
        before, after = (
            stream.cells[part, cells].sum(axis=0) for part in (slice(drifted.onset), slice(drifted.onset, None))
        )
        before, after = before / before.sum(), after / after.sum()
        match drift.name:
            case "mean +.25" | "mean +.5" | "mean +.1" | "mean +.1, all columns" | "trivial":
                assert _latent_moments(after)[0] - _latent_moments(before)[0] == pytest.approx(
                    drift.change.shift, abs=0.03
                )
            case "sd x1.25":
                assert _latent_moments(after)[1] == pytest.approx(1.25, abs=0.03)
            case "shape":
                assert _latent_moments(after) == pytest.approx((0, 1), abs=0.03)
                assert np.abs(np.cumsum(after) - np.cumsum(before)).max() > 0.02
            case "mix of 5" | "mix of 30":
                n = kinds_of(20)[column].size
                mixed = 0.9 * before[:n] + 0.1 * before[:n][::-1]
                np.testing.assert_allclose(after[:n], mixed, atol=0.01)
            case "missing 5 -> 8 %":
                assert (before[-2], after[-2]) == pytest.approx((0.05, 0.08), abs=0.005)
            case "3 % constant":
                assert (after - before).max() == pytest.approx(0.03, abs=0.005)


def test_noise_and_season_are_as_large_as_they_say():
    noise = world_of(Setting(name="noise", rows_per_hour=2000, noise=True), seed=0).reference
    season = world_of(Setting(name="season", rows_per_hour=2000, noise=True, season=True), seed=0).reference

    levels, seasonal = _levels(noise), _levels(season)

    assert levels.std() == pytest.approx(np.hypot(0.05, 2000**-0.5), rel=0.1)
    daily = seasonal.reshape(28, 24, -1)[np.arange(28) % 7 < 5].mean(axis=0)
    np.testing.assert_allclose(np.ptp(daily, axis=0) / 2, 0.3, atol=0.05)
    assert season.rows.max() > 3 * season.rows.min()


def test_swinging_traffic_goes_from_fifty_to_five_thousand_rows():
    rows = world_of(SETTINGS["swing"], seed=0).reference.rows

    assert rows.min() == 50
    assert rows.max() == 5000


def _levels(stream):
    """Mean of the normal columns without missing values, window by window."""
    parts = []
    for column in range(5):
        cells = slice(*stream.cell_offsets[column : column + 2] - [0, 2])
        parts.append(stream.cells[:, cells] @ stream.cell_values[cells] / stream.rows)
    return np.transpose(parts)


def _latent_moments(shares):
    """Moments of a column with a density on the latent axis, from the shares of its cells."""
    latent, present = cells_of("normal").values, shares[:-2] / shares[:-2].sum()
    mean = present @ latent
    return mean, np.sqrt(present @ latent**2 - mean**2)
