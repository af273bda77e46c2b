"""CPU time of the calibrated verdict beside binning the window, and of calibrating beside building the reference.

The verdict of one base window of all columns, and its binning from 10,000 raw rows; the calibration and replay of a reference
of 720 hours, and its building from 1,000,000 rows in memory, which is the least that any file costs. Exit 1 when an answer is
wrong: exactly the shifted columns must be found, and the replay must not raise more alarms than chance would. From the root::

    python tests/benchmarks/bench_calibration.py [--smoke] [--columns 500] [--reference-columns 48]
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from samples import case_of
from timing import Line, print_lines, take_turns

from detectors.binning import Binner, ColumnValues
from detectors.calibration.alarm import Alarm
from detectors.calibration.past import Past
from detectors.calibration.replay import Replay, replay
from detectors.reference import Builder, Reference, add_all, plan_of, priorities, survey_of

HOUR_S = 3600
HOURS = 720
SCALES = (1, 6, 24)
EFFECT_THRESHOLD = 0.005
VERDICT_FLOOR = 10.0
REFERENCE_FLOOR = 1.0
SURE = 1e-9
_ALL_ROWS = 1 << 40
_ALARMS_MAX = 5  # of 720 independent hours at one a month, twice over at most; five has a chance of one in two thousand

Columns = Mapping[str, npt.NDArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What was made, and how long it took."""

    made: object
    cpu_s: float


def main() -> int:
    """Measure, print, and say whether all answers were right."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: checks answers only")
    parser.add_argument("--columns", type=int, default=500, help="of the window")
    parser.add_argument("--reference-columns", type=int, default=48, help="of the reference of a million rows")
    arguments = parser.parse_args()
    if arguments.smoke:
        print("Smoke: answers are checked; sizes are too small for the ratios to mean anything.\n")
        _verdict(n_columns=12, reference_rows=20_000, hours=200, window_rows=1000, rounds=1)
        _reference(n_columns=6, rows=20_000, hours=200)
        return 0
    _verdict(n_columns=arguments.columns, reference_rows=200_000, hours=200, window_rows=10_000, rounds=7)
    _reference(n_columns=arguments.reference_columns, rows=1_000_000, hours=HOURS)
    return 0


def _verdict(*, n_columns: int, reference_rows: int, hours: int, window_rows: int, rounds: int) -> None:
    case = case_of(n_columns, reference_rows, window_rows)
    reference = _built(case.reference, hours)
    alarm = Alarm(_past(reference), None, n_columns)
    values = {name: ColumnValues(values=column) for name, column in case.window.items()}
    numeric = {name: column for name, column in values.items() if column.values.dtype.kind == "f"}
    binner = Binner(reference.columns)
    numbers = Binner(tuple(column for column in reference.columns if column.kind == "numeric"))
    hour = np.zeros(24, dtype=np.int64)
    window = reference.segments(binner.count(values))[None]
    day = np.repeat(window, 24, axis=0)
    found = alarm.judge(window, hour[:1], 1)
    shifted = {column.name for column, pvalue in zip(reference.columns, found.pvalues[0], strict=True) if pvalue < SURE}
    _check("exactly the shifted columns are found", shifted == case.shifted)

    medians = take_turns(
        {
            "binning, numbers and texts": lambda: binner.count(values),
            "binning, the numbers alone": lambda: numbers.count(numeric),
            "verdict of one base window": lambda: alarm.judge(window, hour[:1], 1),
            "verdict of a day of 24": lambda: alarm.judge(day, hour, 24),
        },
        rounds=rounds,
    )
    whole, alone, *verdicts = medians.values()
    # The whole of the verdict, beside binning the numbers alone as if all columns were numbers: the harder comparison.
    alone *= n_columns / len(numeric)
    names = list(medians)
    lines = [
        Line(name=names[0], figure=f"{whole * 1e3:.2f}", ratios=[]),
        Line(name="binning, were all columns numbers", figure=f"{alone * 1e3:.2f}", ratios=[]),
        Line(
            name=names[2],
            figure=f"{verdicts[0] * 1e3:.2f}",
            ratios=[whole / verdicts[0], alone / verdicts[0]],
            floor=VERDICT_FLOOR,
        ),
        Line(name=names[3], figure=f"{verdicts[1] * 1e3:.2f}", ratios=[whole / verdicts[1], alone / verdicts[1]]),
    ]
    title = f"{n_columns} columns, window of {window_rows:,} rows"
    print_lines(title, "CPU ms", ["binning / verdict", "numbers / verdict"], lines)


def _reference(*, n_columns: int, rows: int, hours: int) -> None:
    columns = case_of(n_columns, rows, 1).reference
    building = _timed(lambda: _built(columns, hours))
    reference = building.made
    assert isinstance(reference, Reference)
    calibrating = _timed(lambda: _past(reference))
    past = calibrating.made
    assert isinstance(past, Past)
    replaying = _timed(lambda: replay(past, effect_threshold=EFFECT_THRESHOLD))
    found = replaying.made
    _check("every hour was replayed", isinstance(found, Replay) and np.isfinite(found.rates).all())
    assert isinstance(found, Replay)
    _check("the replay of unchanged rows is quiet", np.count_nonzero(found.rates <= 1) <= _ALARMS_MAX)
    both = calibrating.cpu_s + replaying.cpu_s
    lines = [
        Line(name=f"building from {rows:,} rows in memory", figure=f"{building.cpu_s:.2f}", ratios=[]),
        Line(name="choosing the season", figure=f"{calibrating.cpu_s:.2f}", ratios=[]),
        Line(name="calibrating and replaying", figure=f"{replaying.cpu_s:.2f}", ratios=[]),
        Line(name="both", figure=f"{both:.2f}", ratios=[building.cpu_s / both], floor=REFERENCE_FLOOR),
    ]
    print_lines(f"{n_columns} columns, reference of {hours} hours", "CPU s", ["building / calibrating"], lines)


def _past(reference: Reference) -> Past:
    assert reference.blocks is not None
    hours = reference.blocks.starts_s // HOUR_S % 168
    return Past(reference, hours, base_s=HOUR_S, scales=SCALES, rows_min=30)


def _built(columns: Columns, hours: int) -> Reference:
    """Reference of columns in memory whose rows are spread evenly over so many hours."""
    rows = len(next(iter(columns.values())))
    starts_s = np.arange(rows, dtype=np.int64) * hours // rows * HOUR_S
    values = {name: ColumnValues(values=array) for name, array in columns.items()}
    priority = priorities(np.random.default_rng(0), rows)
    plans = []
    for name, array in columns.items():
        survey = survey_of("numeric" if array.dtype.kind == "f" else "categorical", _ALL_ROWS)
        add_all([survey], [values[name]], priority)
        plans.append(plan_of(name, "input", survey))
    builder = Builder(plans)
    builder.add(values, rows, starts_s)
    return builder.finish(
        model="benchmark",
        version="1",
        created_at="2026-01-01T00:00:00Z",
        window="1h",
        time_zone="UTC",
        time_column="time",
        sample_rows=0,
        provenance={},
    )


def _timed(make: Callable[[], object]) -> Timed:
    start = time.process_time()
    made = make()
    return Timed(made=made, cpu_s=time.process_time() - start)


def _check(name: str, right: object) -> None:
    if not right:
        sys.exit(f"WRONG ANSWER: {name}")


if __name__ == "__main__":
    sys.exit(main())
