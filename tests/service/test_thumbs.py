"""Rules of thumb: how they are written, and what they say of windows."""

import numpy as np
import pytest
from making import counts_of
from running import HOUR, MONDAY, running, small_reference

from detectors.arrays import Counts
from detectors.catalog import CATALOG, statistics
from detectors.evidence import Assessor
from service.domain import Window
from service.domain.configuration import PolicyConfiguration
from service.domain.thumb import STATISTICS, ThumbRule, parse_rule
from service.evaluation.document import evaluation_document
from service.evaluation.evaluate import Evaluator
from service.evaluation.policy import Policy
from service.evaluation.thumbs import Thumbs, fires

NAN = float("nan")


@pytest.mark.parametrize(
    ("text", "rule", "written_as"),
    [
        ("psi>0.2", ThumbRule(statistic="psi", above=0.2), "psi > 0.2"),
        (" ks  p < 0.05 ", ThumbRule(statistic="ks_pvalue", below=0.05), "ks p < 0.05"),
        ("ks_pvalue < .05".replace(" .", " 0."), ThumbRule(statistic="ks_pvalue", below=0.05), "ks p < 0.05"),
        (
            "js_distance > 0.1 in 50% of columns",
            ThumbRule(statistic="js_distance", above=0.1, columns_share=0.5),
            "js_distance > 0.1 in 50% of columns",
        ),
    ],
)
def test_rules_are_read_as_people_write_them(text, rule, written_as):
    assert parse_rule(text) == rule
    assert rule.text == written_as
    assert parse_rule(written_as) == rule


@pytest.mark.parametrize(
    "text", ["", "psi", "psi > x", "psi = 0.2", "pis > 0.2", "psi > 0.2 in 0% of columns", "psi > 1 in 101% of columns"]
)
def test_what_is_no_rule_is_refused_with_what_was_wanted(text):
    with pytest.raises(ValueError, match="wanted"):
        parse_rule(text)
    with pytest.raises(ValueError, match="wanted"):
        PolicyConfiguration(rules=(text,))


def test_rules_know_every_statistic_of_the_catalogue_and_no_other():
    assert [detector.name for detector in CATALOG] == list(STATISTICS)


def windows_of(reference, n_windows=20):
    rng = np.random.default_rng(3)
    return Counts(
        np.stack(
            [
                counts_of(
                    reference,
                    {
                        "x": rng.standard_normal(n) * (1 + 0.3 * (n % 2)) + 0.4,
                        "c": np.array(["red", "green", "blue", "pink"], dtype=object)[rng.integers(0, 4, n)],
                        "y": rng.standard_normal(n),
                    },
                )
                for n in rng.integers(5, 300, n_windows).tolist()
            ]
        )
    )


@pytest.mark.parametrize("name", [*STATISTICS, "ks_pvalue", "chi2_pvalue"])
def test_a_rule_says_of_many_windows_what_the_statistic_says_of_each(name):
    reference = small_reference()
    counts = windows_of(reference)
    assessor = Assessor(reference)
    values, present = [], []
    for one in counts:
        comparison, evidence = assessor.assess(Counts(one))
        pvalues = {"ks_pvalue": evidence.ks, "chi2_pvalue": evidence.pvalues[0]}
        values.append(pvalues[name] if name in pvalues else statistics(comparison)[name])
        present.append(evidence.quality.present)
    values = np.where(np.array(present) >= 30, np.array(values), np.nan)
    line = float(np.round(np.nanmedian(values), 6))
    rule = ThumbRule(statistic=name, **({"below": line} if name.endswith("value") else {"above": line}))

    passed = Thumbs(reference, 30).passed(counts, rule)

    expected = np.where(np.isnan(values), np.nan, values < line if rule.below is not None else values > line)
    np.testing.assert_array_equal(passed, expected)
    assert {0.0, 1.0} <= set(passed[~np.isnan(passed)])


@pytest.mark.parametrize("name", [*STATISTICS, "ks_pvalue", "chi2_pvalue"])
def test_of_groups_rules_see_the_same_or_say_that_they_cannot(name):
    reference = small_reference()
    counts = windows_of(reference)
    reads = {detector.name: detector.reads for detector in CATALOG}.get(name, "groups")
    rule = ThumbRule(statistic=name, **({"below": 0.05} if name.endswith("value") else {"above": 0.05}))
    thumbs = Thumbs(reference, 30)

    passed = thumbs.passed_by_groups(reference.segments(counts), rule)

    if reads == "groups":
        np.testing.assert_array_equal(passed, thumbs.passed(counts, rule))
    elif name == "ks":
        assert np.nansum(passed) > 0
        assert (np.nan_to_num(passed) <= np.nan_to_num(thumbs.passed(counts, rule))).all()
        np.testing.assert_array_equal(np.isnan(passed), np.isnan(thumbs.passed(counts, rule)))
    else:
        assert passed is None


@pytest.mark.parametrize(
    ("passed", "share", "expected"),
    [
        ([0, 0, 1], None, 1),
        ([0, NAN, 0], None, 0),
        ([NAN, NAN, NAN], None, NAN),
        ([NAN, NAN, NAN], 0.5, NAN),
        ([1, 0, NAN], 0.5, 1),
        ([1, 0, 0], 0.5, 0),
    ],
)
def test_a_rule_fires_when_enough_of_the_columns_it_can_look_at_pass(passed, share, expected):
    rule = ThumbRule(statistic="psi", above=0.1, columns_share=share)

    np.testing.assert_array_equal(fires(np.array([passed], dtype=np.float64), rule), [expected])


def test_what_rules_say_stands_in_the_evaluation_and_changes_nothing_else():
    reference = small_reference()
    counts = Counts(windows_of(reference).sum(axis=0))
    rules = tuple(map(parse_rule, ("psi > 0.0001", "psi > 100", "ks p < 0.05")))
    window = Window(start_us=0, end_us=1, size="1h")

    plain, with_rules = (
        evaluation_document(Evaluator(reference, policy).evaluate(counts, 100, window, "2026-03-02T00:00:00Z"))
        for policy in (Policy(), Policy(rules=rules))
    )

    assert list(with_rules.pop("rules")) == [
        {"rule": "psi > 0.0001", "fires": True},
        {"rule": "psi > 100", "fires": False},
        {"rule": "ks p < 0.05", "fires": True},
    ]
    assert with_rules == plain


def test_a_rule_with_nothing_to_look_at_says_nothing():
    reference = small_reference()

    said = Thumbs(reference, 30).said(Counts(np.zeros_like(reference.counts)), [parse_rule("psi > 0.2")])

    assert [one.fires for one in said] == [None]


@running()
async def test_rules_of_a_policy_are_in_the_evaluations_of_the_service_and_raise_nothing(site):
    await site.configure(policy={"rules": ["psi > 0"]}, scales=[1])
    await site.activate()
    await site.post_hours(MONDAY - 5 * HOUR, 3)
    await site.tick()

    evaluations = await site.evaluations()

    assert [one["rules"] for one in evaluations if one["rows"]] == [[{"rule": "psi > 0", "fires": True}]] * 2
    assert await site.episodes() == []
