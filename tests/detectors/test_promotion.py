"""Promotion: a span of stored counts becomes a reference, whose unchanged traffic is quiet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from making import counts_of, reference_of

from detectors.arrays import Counts
from detectors.binning import Binner, ColumnValues
from detectors.errors import EmptyReferenceError
from detectors.evidence import EVIDENCE, Assessor
from detectors.labels import group_labels
from detectors.learning import Sketch, learned_reference
from detectors.reference import from_form, reference_id, to_form
from detectors.reference.promotion import bin_order, promoted_reference

FACTS = {"version": "2", "created_at": "2026-02-01T00:00:00Z", "provenance": {"promoted": True}}
UNSEEN, OMNIBUS = EVIDENCE.index("unseen"), EVIDENCE.index("omnibus")


def promoted(old, windows, **kept):
    return promoted_reference(old, windows, **(FACTS | kept))


def windows_of(old, columns, starts):
    """Base windows of rows, in time order."""
    values = {
        name: c if isinstance(c, ColumnValues) else ColumnValues(values=np.asarray(c)) for name, c in columns.items()
    }
    distinct, part = np.unique(starts, return_inverse=True)
    counts = Binner(old.columns).count_by(values, part.astype(np.intp), distinct.size)
    return [(int(s), int((part == i).sum()), Counts(counts[i])) for i, s in enumerate(distinct)]  # fmt: skip


def once(old, columns):
    """A span of one window."""
    return promoted(old, windows_of(old, columns, np.zeros(len(next(iter(columns.values()))), dtype=int)))


def groups_of(reference, name):
    index = [column.name for column in reference.columns].index(name)
    start, end = reference.layout.offsets[index : index + 2]
    counts = np.add.reduceat(reference.counts[start : end - 2], reference.group_starts[index]).tolist()
    return dict(zip(group_labels(reference.columns[index], reference.group_starts[index]), counts, strict=True))


def training(rng, n):
    return {
        "normal": rng.standard_normal(n),
        "atom": np.where(rng.random(n) < 0.4, 0.5, rng.random(n)),
        "max": np.where(rng.random(n) < 0.4, 1.0, rng.random(n)),
        "min": np.where(rng.random(n) < 0.4, 0.0, rng.random(n)),
        "nearly": np.where(rng.random(n) < 0.999, 0.0, rng.standard_normal(n)),
        "constant": np.full(n, 7),
        "small": rng.poisson(2, n),
        "large": rng.integers(2**60, 2**60 + 90, n),
        "holes": np.where(rng.random(n) < 0.1, np.nan, rng.integers(0, 500, n)),
        "flag": rng.random(n) < 0.1,
        "text": rng.choice(list("abcdef"), n, p=[0.4, 0.3, 0.2, 0.06, 0.03, 0.01]),
        "crowd": np.array([f"k{i}" for i in rng.integers(0, 200, n)]),
        "rare": np.array([f"z{i}" for i in np.minimum(rng.zipf(1.6, n), 10**6)]),
    }


@pytest.mark.parametrize("resolution", [32, 256])
@pytest.mark.parametrize("n", [700, 6000])
def test_the_windows_a_reference_was_made_of_give_it_again(n, resolution):
    rng = np.random.default_rng(n)
    columns, starts = training(rng, n), rng.integers(0, 20, n) * 3600
    old = reference_of(columns, blocks=starts, resolution=resolution, roles={"flag": "output"})

    again = promoted(old, windows_of(old, columns, starts))

    assert reference_id(again) == reference_id(old)
    assert again.rows == n
    assert again.version == "2"
    assert again.mean == pytest.approx(old.mean, rel=1e-9, nan_ok=True)
    assert again.deviation == pytest.approx(old.deviation, rel=0.05, nan_ok=True)
    assert np.array_equal(again.means, old.means, equal_nan=True)
    assert np.array_equal(bin_order(old, again), np.arange(old.counts.size))


values_of_many_kinds = st.integers(0, 60).map(float) | st.floats(-5, 5) | st.sampled_from([0.0, 0.0, 1.0])


@given(hnp.arrays(np.float64, st.integers(1, 400), elements=values_of_many_kinds), st.sampled_from([32, 64, 256]))
def test_groups_of_any_numbers_come_back(values, resolution):
    old = reference_of({"x": values}, blocks=np.zeros(values.size, dtype=int), resolution=resolution)

    assert reference_id(once(old, {"x": values})) == reference_id(old)


@given(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=300))
def test_groups_of_any_categories_come_back(values):
    old = reference_of({"x": np.array(values)}, blocks=np.zeros(len(values), dtype=int))

    assert reference_id(once(old, {"x": np.array(values)})) == reference_id(old)


def test_a_learned_reference_comes_back_but_for_its_blocks():
    rng = np.random.default_rng(0)
    values = {name: ColumnValues(values=v) for name, v in {"x": rng.standard_normal(9000), "a": np.where(rng.random(9000) < 0.4, 0.1, rng.standard_normal(9000))}.items()}  # fmt: skip
    facts = {"model": "m", "version": "1", "created_at": "", "window": "1h", "time_zone": "UTC"}
    old = learned_reference(Sketch.of(values, 9000, {}), kinds={}, provenance={}, **facts).reference

    again = promoted(old, [(3600, 9000, Binner(old.columns).count(values))])

    assert [starts.tolist() for starts in again.group_starts] == [starts.tolist() for starts in old.group_starts]
    assert again.blocks.starts_s.tolist() == [3600]
    assert not again.exact.any()
    assert to_form(from_form(to_form(again))) == to_form(again)


# --- a span that is not the training data ---------------------------------------------------------------------------


def shifted(rng, n):
    """The new normal: a twentieth out of the range of `past`, one row in fifty of an unseen category, and new shares."""
    out = rng.random(n) < 0.05
    return {
        "inside": rng.random(n) ** 2,
        "above": np.where(out, 1 + rng.random(n), rng.random(n)),
        "below": np.where(out, -1 - rng.random(n), rng.random(n)),
        "whole": np.where(out, 12, rng.integers(0, 10, n)),
        "constant": np.where(out, 8, 7),
        "text": rng.choice(["a", "b", "c", "d", "new", "newer"], n, p=[0.1, 0.2, 0.4, 0.28, 0.01, 0.01]),
        "crowd": np.where(rng.random(n) < 0.02, "new", rng.choice([f"k{i}" for i in range(200)], n)),
        "tail": np.where(rng.random(n) < 0.02, "new", np.array([f"z{i}" for i in np.minimum(rng.zipf(1.5, n), 3000)])),
        "gone": rng.choice(["x", "y"], n, p=[0.98, 0.02]),
    }


@pytest.fixture(scope="module")
def past():
    rng = np.random.default_rng(1)
    n = 5000
    return reference_of(
        {
            "inside": rng.random(n),
            "above": np.append(rng.random(n - 2), [0, 1]),
            "below": np.append(rng.random(n - 2), [0, 1]),
            "whole": rng.integers(0, 10, n),
            "constant": np.full(n, 7),
            "text": rng.choice(list("abcd"), n, p=[0.5, 0.3, 0.199, 0.001]),
            "crowd": rng.choice([f"k{i}" for i in range(200)], n),
            "tail": np.append([f"z{i}" for i in range(1, 3001)], np.full(n - 3000, "z1")),
            "gone": rng.choice(["x", "y", "z"], n),
        },
        categories_max=500,
    )


def test_unchanged_traffic_of_the_promoted_span_does_not_look_drifted(past):
    """15 spans of 20,000 rows, 20 windows each: 300 of every law."""
    rejected = []
    for seed in range(15):
        rng = np.random.default_rng(200 + seed)
        reference = promoted(past, windows_of(past, shifted(rng, 20_000), np.arange(20_000) // 500 * 3600))
        assessor = Assessor(reference)
        for _ in range(20):
            _, evidence = assessor.assess(counts_of(reference, shifted(rng, 1000)))
            rejected.append(np.nan_to_num(evidence.pvalues, nan=1.0) <= 0.05)
            assert (np.nan_to_num(evidence.effects) < 0.06).all()
    rate = np.mean(rejected, axis=0)
    names = [column.name for column in reference.columns]

    assert {name: float(r) for name, r in zip(names, rate[OMNIBUS], strict=True) if not 0.01 <= r <= 0.09} == {}
    assert rate[UNSEEN].max() <= 0.09
    assert rate[UNSEEN][[names.index(name) for name in ("text", "crowd", "tail")]].min() > 0.005


def test_more_out_of_range_or_unseen_than_in_the_span_is_found(past):
    rng = np.random.default_rng(2)
    reference = promoted(past, windows_of(past, shifted(rng, 20_000), np.zeros(20_000, dtype=int)))
    window = shifted(rng, 2000)
    more = rng.random(2000) < 0.1
    for name, value in (("above", 1.5), ("whole", 12), ("constant", 8), ("text", "new"), ("tail", "new")):
        window[name] = np.where(more, value, window[name])

    _, evidence = Assessor(reference).assess(counts_of(reference, window))

    names = [column.name for column in reference.columns]
    assert [n for n, p in zip(names, evidence.pvalues[OMNIBUS], strict=True) if p < 1e-4][:3] == ["above", "whole", "constant"]  # fmt: skip
    assert [n for n, p in zip(names, evidence.pvalues[UNSEEN], strict=True) if p < 1e-4] == ["text", "tail"]


def test_out_of_range_values_get_the_groups_that_they_fill(past):
    rng = np.random.default_rng(3)
    high = once(past, {"inside": 0.7 + rng.random(4000), "whole": np.repeat([3, 4, 11, 12], 1000), "constant": np.repeat([7, 8], 2000)})  # fmt: skip

    assert list(groups_of(high, "inside").values())[-1] == pytest.approx(2800, abs=100)
    assert list(groups_of(high, "whole").values()) == [1000, 1000, 2000]
    assert groups_of(high, "constant") == {"7": 2000, "(7, inf)": 2000}


def test_categories_get_and_lose_groups_of_their_own(past):
    now = once(past, {"text": np.repeat(["a", "d", "new"], [10, 3000, 2000])})

    assert groups_of(now, "text") == {"d": 3000, "other or unseen": 2010}
    assert "d" not in groups_of(past, "text")
    assert np.array_equal(counts_of(now, {"text": np.repeat(["a", "d", "new"], [10, 3000, 2000])}), now.counts)


def test_counts_by_the_old_reference_can_be_read_in_the_order_of_the_new_one(past):
    rng = np.random.default_rng(4)
    new = promoted(past, windows_of(past, shifted(rng, 3000), np.zeros(3000, dtype=int)))
    rows = shifted(rng, 500)

    order = bin_order(past, new)

    assert sorted(order.tolist()) == list(range(past.counts.size))
    assert np.array_equal(counts_of(past, rows)[order], counts_of(new, rows))
    assert not np.array_equal(order, np.arange(order.size))


def test_blocks_are_the_windows_in_the_new_groups(past):
    rng = np.random.default_rng(5)
    rows, starts = shifted(rng, 3000), np.repeat([7200, 10_800, 18_000], 1000)
    windows = windows_of(past, rows, starts)
    windows.insert(1, (9000, 0, Counts(np.zeros(past.counts.size, dtype=np.int64))))

    new = promoted(past, windows)

    assert new.blocks.starts_s.tolist() == [7200, 10_800, 18_000]
    assert new.blocks.rows.tolist() == [1000] * 3
    assert np.array_equal(new.blocks.counts.sum(axis=0), new.segments(new.counts))
    first = {name: values[:1000] for name, values in rows.items()}
    assert np.array_equal(new.blocks.counts[0], new.segments(counts_of(new, first)))
    assert (new.rows, new.window, new.time_zone, new.model) == (3000, "1h", "UTC", "m")
    assert to_form(from_form(to_form(new))) == to_form(new)
    assert not new.counts.flags.writeable


def test_equal_spans_give_equal_ids_however_they_are_handed_over(past):
    windows = windows_of(past, shifted(np.random.default_rng(6), 3000), np.arange(3000) // 300 * 3600)

    one, other = promoted(past, windows), promoted(past, iter(windows), version="3", provenance={})

    assert reference_id(one) == reference_id(other)
    assert reference_id(one) != reference_id(promoted(past, windows[:-1]))


def test_a_promoted_reference_can_be_promoted(past):
    rng = np.random.default_rng(7)
    windows = windows_of(past, shifted(rng, 3000), np.zeros(3000, dtype=int))
    new = promoted(past, windows)

    again = promoted(new, [(0, 3000, Counts(windows[0][2][bin_order(past, new)]))])

    assert reference_id(again) == reference_id(new)


def test_mean_and_deviation_follow_the_span():
    rng = np.random.default_rng(8)
    old = reference_of({"x": rng.normal(0, 1, 20_000)})
    new = once(old, {"x": rng.normal(0.5, 0.7, 20_000)})

    assert new.mean[0] == pytest.approx(0.5, abs=0.02)
    assert new.deviation[0] == pytest.approx(0.7, abs=0.02)


def test_bins_of_a_column_that_had_no_value_or_has_none_stay():
    old = reference_of({"nothing": np.full(50, np.nan), "x": np.arange(50.0), "c": np.full(50, "a")}, kinds={"nothing": "numeric"})  # fmt: skip

    new = once(old, {"nothing": np.array([np.inf, 1.0, np.nan]), "x": np.full(3, np.nan), "c": np.array([None] * 3)})

    assert [starts.tolist() for starts in new.group_starts] == [[0], [0], [0]]
    assert np.isnan(new.mean).all()
    assert new.counts[new.layout.missing].tolist() == [1, 3, 3]


def test_once_and_twice_are_counted_again_where_all_categories_are_known():
    old = reference_of({"x": np.array(list("aaabbbccd"))})
    new = once(old, {"x": np.array(list("abbccccd"))})

    assert (new.columns[0].once, new.columns[0].twice) == (2, 1)


def test_what_was_dropped_while_building_stays_unknown(monkeypatch):
    monkeypatch.setattr("detectors.reference.survey.CATEGORIES_KEPT", 3)
    old = reference_of({"x": np.array(list("aaaaaaaaabbbbbbbbcdefg"))})

    new = once(old, {"x": np.array(list("ab"))})

    assert not new.exact[0]
    assert (new.columns[0].once, new.columns[0].twice) == (0, 0)


# --- a span with a single value -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [3, 12])
def test_a_span_of_one_value_makes_a_constant_column_that_notices_others(past, value):
    old = reference_of({"x": np.arange(1000) % 10})
    new = once(old, {"x": np.full(2000, value)})
    assessor = Assessor(new)

    _, same = assessor.assess(counts_of(new, {"x": np.full(500, value)}))
    _, other = assessor.assess(counts_of(new, {"x": np.repeat([value, 4], [450, 50])}))

    assert same.constant[0]
    assert np.isnan(same.pvalues[UNSEEN, 0])
    assert other.pvalues[UNSEEN, 0] < 1e-9
    assert other.effects[UNSEEN, 0] > 0.05


def test_infinities_of_a_constant_reference_are_nothing_new():
    rng = np.random.default_rng(9)
    values = np.where(rng.random(5000) < 0.6, np.inf, 7.0)
    reference = reference_of({"x": values})

    _, evidence = Assessor(reference).assess(counts_of(reference, {"x": values[:1000]}))

    assert evidence.constant[0]
    assert evidence.pvalues[UNSEEN, 0] > 0.01
    assert evidence.effects[UNSEEN, 0] < 0.01


# --- what is refused ------------------------------------------------------------------------------------------------


def test_an_empty_span_is_no_reference(past):
    nothing = Counts(np.zeros(past.counts.size, dtype=np.int64))

    for windows in ([], [(0, 0, past.counts)], [(0, 5, nothing)]):
        with pytest.raises(EmptyReferenceError, match="no row in the span"):
            promoted(past, windows)


def test_windows_of_other_bins_or_out_of_order_are_refused(past):
    with pytest.raises(ValueError, match="3 bins, the reference has"):
        promoted(past, [(0, 5, Counts(np.ones(3, dtype=np.int64)))])
    with pytest.raises(ValueError, match="increasing starts"):
        promoted(past, [(3600, 5, past.counts), (3600, 5, past.counts)])
