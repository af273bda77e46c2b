"""Evidence to verdicts, and the windows that break other tools."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import counts_of, reference_of, values_of

from detectors.arrays import Counts
from detectors.binning import ColumnValues
from detectors.evidence import EVIDENCE, Assessor
from service.domain import Window
from service.evaluation import policy as policy_module
from service.evaluation.counting import WindowCounts
from service.evaluation.document import Overall, check_chunks, evaluation_document
from service.evaluation.evaluate import Evaluator
from service.evaluation.policy import ColumnDecision, Policy, decide, window_verdict

GOLDEN = Path(__file__).parent.parent / "golden"
ALL = Window(start_us=None, end_us=None, size="all")
NOW = "2026-01-01T00:00:00Z"
RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal(5000)


def objects(*values):
    array = np.empty(len(values), dtype=np.object_)
    array[:] = values
    return array


def evaluated(reference, columns, **kept):
    rows = max((len(values_of(c).values) for c in columns.values()), default=0)
    counts = (
        counts_of(reference, columns) if columns else Counts(np.zeros(reference.layout.n_bins_total, dtype=np.int64))
    )
    evaluation = Evaluator(reference, **kept).evaluate(counts, rows, ALL, NOW)
    msgspec.json.encode(evaluation_document(evaluation))
    assert "NaN" not in json.dumps(evaluation_document(evaluation), allow_nan=False)
    return evaluation


def column(reference_values, window_values, **kept):
    return evaluated(reference_of({"x": reference_values}, **kept), {"x": window_values}).columns["x"]


# The list of windows that must get a verdict or a reason, and never an exception


def test_unchanged_rows_are_stable():
    found = column(NORMAL, np.random.default_rng(1).standard_normal(1000))

    assert (found.verdict, found.reason) == ("stable", None)
    assert found.pvalue > found.pvalue_threshold


def test_a_half_sigma_shift_is_seen():
    found = column(NORMAL, np.random.default_rng(2).normal(0.5, 1, 300))

    assert (found.verdict, found.evidence, found.direction) == ("drifted", "omnibus", "up")
    assert column(NORMAL, np.random.default_rng(2).normal(-0.5, 1, 300)).direction == "down"


@pytest.mark.parametrize("outlier", [1e300, -1e300, np.inf])
def test_one_outlier_in_the_window_hides_nothing(outlier):
    shifted = np.random.default_rng(3).normal(0.5, 1, 300)

    with_it, without = (column(NORMAL, window) for window in (np.append(shifted, outlier), shifted))

    assert with_it.verdict == "drifted"
    assert with_it.statistics["psi"] == pytest.approx(without.statistics["psi"], rel=0.1)
    assert with_it.statistics["ks"] == pytest.approx(without.statistics["ks"], abs=0.01)


def test_one_outlier_in_the_reference_hides_nothing():
    reference = np.append(NORMAL, 1e300)
    shifted = np.random.default_rng(4).normal(0.5, 1, 300)

    found = column(reference, shifted)

    assert found.verdict == "drifted"
    assert found.statistics["psi"] == pytest.approx(column(NORMAL, shifted).statistics["psi"], rel=0.05)
    assert column(reference, NORMAL[:1000]).verdict == "stable"


def test_doubling_a_lognormal_column_is_seen():
    rng = np.random.default_rng(5)

    found = column(rng.lognormal(0, 2, 5000), 2 * rng.lognormal(0, 2, 500))

    assert (found.verdict, found.direction) == ("drifted", "up")


def test_one_nan_is_too_few_rows():
    found = column(NORMAL, np.array([np.nan]))

    assert (found.verdict, found.reason, found.missing_ratio, found.rows) == ("undecided", "too_few_rows", 1.0, 0)


def test_nothing_but_nan_is_drift_of_the_missing():
    found = column(NORMAL, np.full(100, np.nan))

    assert (found.verdict, found.evidence, found.direction) == ("drifted", "missing", "up")
    assert found.statistics["psi"] is None
    assert found.pvalues["omnibus"] is None


def test_fewer_missing_values_are_a_change_too():
    values = np.where(np.random.default_rng(6).random(5000) < 0.5, np.nan, NORMAL)

    found = column(values, NORMAL[:500])

    assert (found.verdict, found.evidence, found.direction) == ("drifted", "missing", "down")


def test_no_rows_are_undecided():
    evaluation = evaluated(reference_of({"x": NORMAL}), {})

    assert (evaluation.verdict, evaluation.reason) == ("undecided", "no_rows")
    assert evaluation.columns["x"].missing_ratio is None


def test_only_unseen_categories_are_drift():
    found = column(np.array(["a", "b"] * 500), np.array(["c"] * 50))

    assert (found.verdict, found.unseen_ratio, found.direction) == ("drifted", 1.0, "up")
    assert found.pvalues["unseen"] < 1e-10


def test_a_few_percent_of_a_new_category_are_found():
    window = np.array(["a", "b"] * 500)
    window[:20] = "new"

    found = column(np.array(["a", "b"] * 5000), window)

    assert (found.verdict, found.evidence, found.direction) == ("drifted", "unseen", "up")
    assert found.moved[0].bin in ("a", "b", "other or unseen")


def test_a_constant_window_is_drift():
    assert column(NORMAL, np.full(100, 0.3)).verdict == "drifted"


def test_a_constant_reference_finds_other_values_and_is_undecided_otherwise():
    constant = np.full(1000, 3.0)

    assert column(constant, np.full(100, 3.0)).reason == "constant_reference"
    moved = column(constant, np.full(100, 4.0))
    assert (moved.verdict, moved.evidence) == ("drifted", "unseen")
    assert column(np.array(["a"] * 1000), np.array(["a"] * 100)).reason == "constant_reference"
    assert column(np.array(["a"] * 1000), np.array(["a", "b"] * 100)).verdict == "drifted"


def test_a_change_of_type_is_drift_of_the_invalid():
    found = column(NORMAL, objects(*["text"] * 60))

    assert (found.verdict, found.evidence, found.invalid_ratio) == ("drifted", "invalid", 1.0)
    assert column(np.array(["a", "b"] * 500), objects(*[["a"]] * 60)).evidence == "invalid"
    assert column(np.array(["a", "b"] * 500), np.arange(60)).verdict == "drifted"


def test_fewer_rows_than_the_policy_asks_for_are_undecided():
    found = column(NORMAL, NORMAL[:29])

    assert (found.verdict, found.reason) == ("undecided", "too_few_rows")
    assert found.statistics["psi"] is not None
    assert column(NORMAL, NORMAL[:30]).verdict == "stable"


def test_small_and_empty_references_are_undecided():
    assert column(NORMAL[:20], NORMAL[:500]).reason == "few_reference_rows"
    assert column(np.array([1.0, 2.0]), np.array([1.0, 2.0])).reason == "too_few_rows"
    empty = column(np.full(500, np.nan), np.full(500, np.nan))
    assert (empty.verdict, empty.reason) == ("undecided", "empty_reference")
    assert column(np.full(500, np.nan), NORMAL[:100]).evidence == "missing"


def test_a_rare_category_that_doubles_in_a_large_window_is_found():
    reference = np.repeat(["no", "yes"], [99_000, 1000])

    found = column(reference, np.repeat(["no", "yes"], [4700, 300]))

    assert found.verdict == "drifted"
    assert column(reference, np.repeat(["no", "yes"], [495, 5])).verdict == "stable"


def test_a_tiny_change_is_significant_in_a_huge_window_and_does_not_matter():
    rng = np.random.default_rng(7)
    reference = reference_of({"x": rng.standard_normal(400_000)})

    found = evaluated(reference, {"x": rng.normal(0.02, 1, 400_000)}).columns["x"]

    assert found.pvalue < 0.05
    assert found.effect < 0.005
    assert found.verdict == "stable"


values_of_any_kind = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=3),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=1), st.integers(), max_size=1),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    past=st.lists(values_of_any_kind, min_size=1, max_size=40),
    now=st.lists(values_of_any_kind, max_size=60),
    kind=st.sampled_from(["numeric", "categorical"]),
)
def test_any_reference_and_any_window_get_a_verdict_or_a_reason(past, now, kind):
    reference = reference_of({"x": objects(*past)}, kinds={"x": kind})

    found = evaluated(reference, {"x": objects(*now)}).columns["x"]

    assert (found.verdict == "undecided") == (found.reason is not None)
    assert found.error is None


# Policy


def test_the_line_is_benjamini_and_hochbergs():
    line = policy_module.benjamini_hochberg

    assert line(np.array([0.001, 0.02, 0.9, np.nan]), 0.05) == pytest.approx(2 / 3 * 0.05)
    assert line(np.array([0.5, 0.9]), 0.05) == pytest.approx(0.025)
    assert line(np.array([np.nan]), 0.05) == 0.05
    assert line(np.array([0.04, 0.05]), 0.05) == pytest.approx(0.05)


def test_one_drifted_column_among_many_is_named_alone():
    rng = np.random.default_rng(8)
    reference = reference_of({f"c{i}": rng.standard_normal(5000) for i in range(40)})
    window = {f"c{i}": rng.standard_normal(1000) for i in range(40)} | {"c7": rng.normal(0.4, 1, 1000)}

    evaluation = evaluated(reference, window)

    drifted = [name for name, found in evaluation.columns.items() if found.verdict == "drifted"]
    assert "c7" in drifted
    assert len(drifted) <= 2
    assert evaluation.verdict == "drifted"


def decision(verdict, reason=None):
    return ColumnDecision(verdict=verdict, reason=reason, pvalue=1.0, effect=0.0, evidence=None)


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ([decision("stable"), decision("drifted")], ("drifted", None)),
        ([decision("stable"), decision("undecided", "no_rows")], ("stable", None)),
        (
            [decision("undecided", "no_rows"), *[decision("undecided", "too_few_rows")] * 2],
            ("undecided", "too_few_rows"),
        ),
        ([], ("undecided", "no_rows")),
    ],
)
def test_a_window_is_what_its_columns_are(decisions, expected):
    assert window_verdict(decisions) == expected


def test_a_stricter_policy_asks_for_more():
    window = {"x": np.random.default_rng(9).normal(0.5, 1, 300)}
    reference = reference_of({"x": NORMAL})

    assert evaluated(reference, window, policy=Policy(effect_threshold=1.0)).verdict == "stable"
    assert evaluated(reference, window, policy=Policy(rows_min=301)).verdict == "undecided"


def test_the_weaker_of_two_significant_kinds_decides_when_the_stronger_does_not_matter():
    """A tiny but certain share of invalid values, beside a real shift."""
    rng = np.random.default_rng(10)
    reference = reference_of({"x": rng.standard_normal(200_000)})
    window = objects(*rng.normal(0.11, 1, 2000).tolist(), "bad", "bad")
    counts = counts_of(reference, {"x": window})
    _, evidence = Assessor(reference).assess(counts)
    evidence.pvalues[EVIDENCE.index("invalid"), 0] = 1e-30
    evidence.effects[EVIDENCE.index("invalid"), 0] = 0.001

    decided = decide(evidence, Policy())

    assert decided.columns[0].evidence == "omnibus"


# Counting windows


def test_a_column_that_breaks_leaves_the_others_alone(monkeypatch):
    reference = reference_of({"x": NORMAL, "y": NORMAL})
    counts = WindowCounts(reference)
    healthy = counts._binner.bins

    def bins(index, values):
        if index == 0:
            raise RuntimeError
        return healthy(index, values)

    monkeypatch.setattr(counts._binner, "bins", bins)
    columns = {name: ColumnValues(values=NORMAL[:100]) for name in ("x", "y", "z")}

    counts.add(columns, 100, np.zeros(100, dtype=np.int64))

    ((_, rows, counted),) = counts.windows()
    evaluation = Evaluator(reference).evaluate(counted, rows, ALL, NOW, errors=counts.errors)
    assert evaluation.columns["x"].reason == "error"
    assert evaluation.columns["x"].error == "could not be counted (RuntimeError)"
    assert evaluation.columns["x"].statistics["psi"] is None
    assert evaluation.columns["y"].verdict == "stable"
    assert counts.ignored == {"z"}


def test_a_broken_column_has_no_say_in_the_verdicts_of_the_others():
    rng = np.random.default_rng(11)
    reference = reference_of({f"c{i}": rng.standard_normal(5000) for i in range(5)})
    columns = {f"c{i}": rng.normal(0.2 * (i == 0), 1, 300) for i in range(5)}
    counts = counts_of(reference, {name: c for name, c in columns.items() if name != "c4"})
    evaluator = Evaluator(reference)

    broken = evaluator.evaluate(counts, 300, ALL, NOW, errors={"c4": "could not be counted"})
    whole = evaluator.evaluate(counts_of(reference, columns), 300, ALL, NOW)

    assert broken.columns["c4"].missing_ratio is None
    assert broken.columns["c4"].rows == 0
    assert [broken.columns[f"c{i}"].verdict for i in range(4)] == [whole.columns[f"c{i}"].verdict for i in range(4)]


def test_a_reference_that_is_constant_but_for_infinities_is_tested_all_the_same():
    past = np.append(np.full(200, 5.0), [np.inf] * 3)

    assert column(past, np.full(100, 7.0)).verdict == "drifted"
    assert column(past, np.full(100, 5.0)).reason == "constant_reference"


def test_windows_beyond_the_open_ones_are_packed_and_lose_nothing(monkeypatch):
    monkeypatch.setattr("service.evaluation.counting._OPEN_MAX", 2)
    monkeypatch.setattr("service.evaluation.counting._SLAB_COUNTS", 5000)
    reference = reference_of({"x": NORMAL, "c": np.array(["a", "b"] * 2500)})
    rng = np.random.default_rng(12)
    columns = {"x": rng.standard_normal(3000), "c": rng.choice(["a", "b"], 3000)}
    starts = rng.integers(0, 40, 3000)
    counts = WindowCounts(reference)
    for part in np.array_split(np.arange(3000), 7):
        counts.add({name: ColumnValues(values=c[part]) for name, c in columns.items()}, part.size, starts[part])

    assert len(counts) == 40
    for start, rows, found in counts.windows():
        here = starts == start
        assert rows == here.sum()
        assert np.array_equal(found, counts_of(reference, {name: c[here] for name, c in columns.items()}))


def test_windows_come_in_time_order_with_their_rows():
    reference = reference_of({"x": NORMAL})
    counts = WindowCounts(reference)
    counts.add({}, 0, np.empty(0, dtype=np.int64))
    for starts in ([20, 10, 10], [30, 20]):
        counts.add({"x": ColumnValues(values=NORMAL[: len(starts)])}, len(starts), np.array(starts))

    assert [(start, rows, int(c.sum())) for start, rows, c in counts.windows()] == [(10, 2, 2), (20, 2, 2), (30, 1, 1)]


# Documents


def golden_evaluation():
    steps = np.arange(4000)
    columns = {
        "temp": steps * 7919 % 4001 / 4001,
        "weather": np.array(["clear", "mist", "rain"])[steps * 5 % 7 % 3],
        "score": steps * 31 % 17 / 17,
    }
    reference = reference_of(columns, roles={"score": "output"}, blocks=steps // 100 * 3600)
    window = {name: values[:400] for name, values in columns.items()} | {"temp": columns["temp"][:400] ** 2}
    evaluator = Evaluator(reference)
    where = Window(start_us=1_330_923_600_000_000, end_us=1_331_528_400_000_000, size="7d")
    return evaluator.evaluate(counts_of(reference, window), 400, where, NOW), reference


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def test_the_document_is_the_golden_one():
    """Made by `PYTHONPATH=tests python tests/service/test_evaluate.py`; field names may be added, never changed."""
    document = rounded(evaluation_document(golden_evaluation()[0]))

    assert document == json.loads((GOLDEN / "evaluation.json").read_text())


def checked(evaluations):
    overall = Overall()
    return json.loads(b"".join(check_chunks(overall.watched(evaluations), overall, "sha256:x", 3)))


def test_the_check_document_holds_evaluations_and_the_overall_verdict():
    evaluation, _ = golden_evaluation()

    document = checked([evaluation, evaluation])

    assert document["format"] == "driftline.check/1"
    assert document["verdict"] == "drifted"
    assert document["rejected_rows"] == 3
    assert rounded(document["evaluations"][1]) == rounded(evaluation_document(evaluation))


def test_over_several_windows_any_drift_then_any_stable_then_undecided():
    reference = reference_of({"x": NORMAL})
    stable = evaluated(reference, {"x": NORMAL[:500]})
    drifted = evaluated(reference, {"x": NORMAL[:500] + 1})
    undecided = evaluated(reference, {"x": NORMAL[:5]})

    def overall(*evaluations):
        document = checked(evaluations)
        return document["verdict"], document["reason"]

    assert overall(stable, drifted, undecided) == ("drifted", None)
    assert overall(undecided, stable) == ("stable", None)
    assert overall(undecided) == ("undecided", "too_few_rows")
    assert overall() == ("undecided", "no_rows")


if __name__ == "__main__":
    (GOLDEN / "evaluation.json").write_text(
        json.dumps(rounded(evaluation_document(golden_evaluation()[0])), indent=1) + "\n"
    )
