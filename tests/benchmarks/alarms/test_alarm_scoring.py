import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import report
from results import Replicate, SettingResult
from rules import Verdicts
from scipy import stats
from scoring import Rate, delay_hours, mean_of, notices, oracle_threshold, rate_of, share_interval

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[2]


def _fires(hours, *where):
    fires = np.zeros(hours, dtype=np.bool_)
    fires[list(where)] = True
    return fires


def test_an_episode_is_one_notice_until_six_calm_hours():
    assert notices(_fires(40, 3, 4, 9)) == [3]
    assert notices(np.ones(100, dtype=np.bool_)) == [0]
    assert notices(_fires(100)) == []


def test_no_episode_opens_in_the_cool_down_and_drift_that_outlasts_it_opens_one_after():
    assert notices(_fires(100, 3, 20)) == [3]  # closed after hour 9, cooling until 34
    assert notices(_fires(100, 3, 33, 34)) == [3, 34]
    assert notices(_fires(100, 3, *range(15, 60))) == [3, 34]


def test_hours_that_hold_keep_an_episode_open_and_open_none():
    fires, holds = _fires(100, 3, 60), _fires(100, *range(0, 60, 5))

    assert notices(fires, holds) == [3]
    assert notices(_fires(100), holds) == []


def test_delay_counts_to_the_end_of_the_first_hour_that_fires():
    assert delay_hours(_fires(50, 10, 30), 30) == 1
    assert delay_hours(_fires(50, 10, 35), 30) == 6
    assert np.isnan(delay_hours(_fires(50, 10), 30))


@pytest.mark.parametrize("count", [0, 1, 7, 60])
def test_poisson_intervals_are_exact(count):
    rate = Rate(count=count, months=4.0, error=0.1)
    low, high = (4 * bound for bound in rate.interval(0.99))

    assert rate.value == count / 4
    assert stats.poisson.sf(count - 1, low) == pytest.approx(0.005 if count else 1.0)
    assert stats.poisson.cdf(count, high) == pytest.approx(0.005)
    assert stats.poisson.sf(count - 1, 4 * rate.lower(0.99)) == pytest.approx(0.01 if count else 1.0)


@pytest.mark.parametrize("count", [0, 3, 20])
def test_share_intervals_are_those_of_clopper_and_pearson(count):
    expected = stats.binomtest(count, 20).proportion_ci(0.95, method="exact")

    assert share_interval(count, 20) == pytest.approx((expected.low, expected.high))


def test_the_oracle_lets_one_hour_in_so_many_fire():
    scores = np.random.default_rng(0).standard_normal(7300)

    assert np.count_nonzero(scores > oracle_threshold(scores)) == 10
    assert np.count_nonzero(scores[:700] > oracle_threshold(scores[:700])) == 0
    assert np.count_nonzero(np.ones(7300) > oracle_threshold(np.ones(7300))) == 0


def test_rates_and_means_know_how_replicates_differ():
    rate, mean = rate_of([1, 0, 3], 672), mean_of([0.5, 1.0])

    assert rate.value == pytest.approx(4 / (3 * 672 / 720))
    assert rate.error == pytest.approx(stats.sem([1, 0, 3]) * 720 / 672)
    assert (mean.value, mean.error) == pytest.approx((0.75, 0.25))
    assert np.isnan(mean_of([0.5]).error)


def _result(firing_hours, *, setting="iid_200"):
    """Two replicates with a rule that has scores and one, `ours`, that has none; 48 hours after the onset at 24."""
    replicates = []
    for seed in range(2):
        quiet, drifted = _fires(720, *firing_hours[seed]), _fires(72, 30)
        both = {
            "scored": Verdicts(fires=np.ones(720, dtype=np.bool_), scores=np.arange(720.0) + seed / 2),
            "ours": Verdicts(fires=quiet, facts={"replayed": 1.0 + seed}),
        }
        after = {
            "scored": Verdicts(fires=np.ones(72, dtype=np.bool_), scores=np.where(np.arange(72) > 60, 1e3, 0.0)),
            "ours": Verdicts(fires=drifted),
        }
        replicates.append(
            Replicate(
                setting=setting, seed=seed, production=both, drifted={"mean +.5": (24, after), "trivial": (24, after)}
            )
        )
    return SettingResult(setting=setting, replicates=replicates)


def test_rules_with_scores_get_the_oracles_threshold_and_others_stay_as_they_are():
    result = _result([[5], [5, 300]])

    scored, ours = result.equal["scored"], result.equal["ours"]

    assert result.default["scored"].false_alarms.count == 1440
    assert scored.false_alarms.count == 2
    assert scored.detection.value == 0
    assert scored.delays("mean +.5").tolist() == [38, 38]
    assert (ours.false_alarms.count, ours.notices.count) == (3, 3)
    assert ours.detection.value == 1
    assert ours.chance == pytest.approx(3 / 60)
    assert ours.facts["replayed"].value == 1.5


def test_floors_are_met_by_a_quiet_row_and_not_by_a_loud_one():
    quiet = _result([[], []])
    loud = _result([[*range(0, 720, 40)]] * 2)

    assert [met for _, met in report.floors([quiet], [quiet])] == [True, False, True, True]
    assert [met for _, met in report.floors([loud], [])] == [False, True]


def test_tables_are_markdown_with_a_row_a_rule():
    result = _result([[5], []])

    table = report.false_alarms(result).splitlines()

    assert len({len(line) for line in table}) == 1
    assert [line.split("|")[1].strip() for line in table[2:]] == ["scored", "ours"]
    assert "replayed" in table[0]
    assert report.detection_by_drift(result, equal=True).count("\n") == 3
    assert "0.00 / 38" in report.detection_by_drift(result, equal=True)
    assert "1.00 +- 0.00" in report.detection_overall([result], equal=True)


def test_the_small_form_of_the_benchmark_runs_and_is_sane():
    done = subprocess.run(
        [sys.executable, _HERE / "bench_alarms.py", "--smoke"],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
    assert "alibi-detect" in done.stdout
