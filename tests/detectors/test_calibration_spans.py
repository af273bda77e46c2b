"""Spans that are no whole blocks: the variance against a loop from its formula, and what spans of any length give."""

import math

import numpy as np
import pytest
from calibrating import drawn, hours_of, past_of, starts_of

from detectors.calibration.alarm import Alarm
from detectors.calibration.calibrated import Calibration
from detectors.calibration.spans import LADDER, Spans

SHAPES = [("numeric", 10), ("categorical", 4)]
HOURS = 720


def streams(seed, n_windows, rows=(300, 900), level=0.0, memory=0.0):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n_windows, len(SHAPES)))
    for now in range(1, n_windows):
        noise[now] = memory * noise[now - 1] + math.sqrt(1 - memory**2) * noise[now]
    return drawn(rng, SHAPES, rng.integers(*rows, n_windows), levels=level + 0.1 * noise)


@pytest.fixture(scope="module")
def past():
    return past_of(SHAPES, streams(0, HOURS, memory=0.8), scales=LADDER, season="none")


def length_of(rows):
    return sum(rows) ** 2 / sum(x * x for x in rows)


def naive_variance(past, segments, trait, axis):
    """V of one axis of one trait, from the formula."""
    rows_of = past.rows.max(axis=1).tolist()
    lengths = {
        s: np.mean([length_of(rows_of[k : k + s]) for k in range(0, len(rows_of) - s + 1, s)]) for s in past.scales
    }
    groups = past.traits.groups(segments)
    rows = past.traits.rows(groups)
    length, n = length_of(rows.max(axis=1).tolist()), float(rows.sum(axis=0)[trait])
    fit = Calibration(past).fit(int(past.which(rows.sum(axis=0))[trait]))
    place = int(np.flatnonzero(fit.place == trait)[0])
    j = int(fit.axes.turn.starts[place]) + axis
    found = []
    for top in (24, max(past.scales)):
        scale = max(s for s in past.scales if s <= top and (s == 1 or lengths[s] <= 1.05 * length))
        near, far = fit.variability[scale], fit.variability[top]
        e = length / lengths[top] if scale == top and length > lengths[top] else 1.0
        lag = min(max(far.lag[j] + (0.5 / math.sqrt(far.n_blocks) if top == 24 else 0), 0), 0.9)
        reach = (1 + lag) / (1 - lag)
        own = max(reach * far.block_variance[j] / far.n_blocks, 1 / past.traits.reference_rows[trait])
        excess = near.excess[j] * max(1, near.block_rows[place] / n) * min(1, reach / e)
        found.append(1 / n + excess + own)
    return max(found)


@pytest.mark.parametrize("n_windows", [1, 2, 5, 6, 24, 100, 400])
def test_the_variance_is_that_of_the_loop(past, n_windows):
    segments = streams(n_windows, n_windows)
    location = 9  # after nine principal axes

    found = Spans(past, 2).judge(segments, hours_of(starts_of(n_windows)))

    assert 1 / found.effective_rows[0] == pytest.approx(naive_variance(past, segments, 0, location), rel=1e-9)
    assert not found.major.any()


def test_a_block_of_the_reference_is_judged_as_by_the_alarm_but_for_the_error_of_the_mean(past):
    segments, hours = streams(1, 6), np.arange(6)

    span = Spans(past, 2).judge(segments, hours)
    window = Alarm(past, None, 2).judge(segments, hours, 6)

    np.testing.assert_allclose(span.direction, window.direction, rtol=0.1)
    np.testing.assert_array_equal(span.test_groups, window.test_groups)


def test_spans_of_unchanged_traffic_are_rarely_found_and_shifted_ones_are(past):
    spans = Spans(past, 2)
    for n_windows, seeds in ((3, 40), (24, 40), (336, 15)):
        pvalues = np.array(
            [
                spans.judge(streams(seed, n_windows, memory=0.8), np.arange(n_windows) % 168).pvalues.min()
                for seed in range(100, 100 + seeds)
            ]
        )
        assert np.mean(pvalues <= 0.01) <= 0.1  # of six tests
        shifted = spans.judge(streams(9, n_windows, level=1.0), np.arange(n_windows) % 168)
        assert shifted.pvalues[0].max() < 1e-3


def test_more_rows_of_the_same_hours_are_worth_more_and_longer_spans_too(past):
    spans = Spans(past, 2)
    worth = [
        spans.judge(streams(3, n, rows=(rows, rows + 1)), np.arange(n) % 168).effective_rows[0]
        for n, rows in ((1, 300), (1, 900), (24, 900), (400, 900))
    ]

    assert (np.diff(worth) > 0).all()


def test_a_span_of_nothing_says_nothing(past):
    spans = Spans(past, 2)
    for n_windows in (0, 1, 30):
        found = spans.judge(
            np.zeros((n_windows, past.traits.segment_starts[-1] + 6), dtype=np.int64), np.arange(n_windows)
        )

        assert np.isnan(found.pvalues).all()
        assert np.isnan(found.effective_rows).all()


def test_a_reference_of_few_rows_an_hour_has_no_short_scales():
    """A span that is shorter than all of them found none to be judged by, and crashed."""
    past = past_of(SHAPES, streams(6, HOURS, rows=(5, 9)), scales=LADDER)
    slow = past_of(SHAPES, streams(6, HOURS, rows=(1, 2)), scales=(48, 90))

    assert min(past.scales) > 1
    for some in (past, slow):
        for n_windows in (1, 40, 300):
            segments = streams(7, n_windows, rows=(40, 60))
            found = Spans(some, 2).judge(segments, np.arange(n_windows) % 168)
            assert np.isfinite(found.pvalues[:2]).any()
            assert np.nanmin(found.pvalues) > 1e-6


def test_a_short_reference_has_one_scale():
    past = past_of(SHAPES, streams(4, 12), scales=LADDER)

    found = Spans(past, 2).judge(streams(5, 40), np.arange(40))

    assert past.scales == (1,)
    assert np.isfinite(found.pvalues).all()


def test_a_reference_without_rows_in_any_trait_has_spans_of_nothing():
    nothing = np.zeros((40, 18), dtype=np.int64)
    past = past_of(SHAPES, nothing, scales=LADDER)

    found = Spans(past, 2).judge(nothing[:3], np.arange(3))

    assert np.isnan(found.pvalues).all()
    assert not found.known.any()
