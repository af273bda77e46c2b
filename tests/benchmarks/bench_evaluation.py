"""CPU time of evaluating one window, all statistics and p-values, beside a scipy loop, Evidently and whylogs.

Reference of 100,000 rows, window of 10,000, five numeric columns to one categorical. Ours from counts and from the raw
window, each as numbers alone (`detectors`) and as the whole evaluation with its objects (`service`). Exit 1 when an answer
is wrong: our bracket must hold scipy's KS, chi-square must equal scipy's on the same groups, every tool must find the
columns that were shifted. Then the memory of a model of 1,000 columns and 60 panes. From the root of the repository::

    python tests/benchmarks/bench_evaluation.py [--smoke] [--no-peers] [--columns 60 500 1000]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import peers
from samples import Case, case_of, reference_of
from scipy.stats import chi2_contingency
from scipy_loop import scipy_loop
from timing import Line, print_lines, take_turns

from detectors.binning import Binner, ColumnValues
from detectors.catalog import statistics
from detectors.comparison import Comparison
from detectors.evidence import Assessor
from detectors.reference import Reference
from service.domain import Window
from service.evaluation.evaluate import Evaluator

WINDOW = Window(start_us=None, end_us=None, size="all")
EVALUATED_AT = "2026-01-01T00:00:00Z"
OURS = ("numbers from counts", "evaluation from counts", "numbers from raw rows", "evaluation from raw rows")
OTHERS = {  # and the floors of OURS against them
    "scipy loop": (1000.0, 1000.0, 40.0, 40.0),
    "scipy loop, no Wasserstein": (1000.0, 1000.0, 40.0, 40.0),
    "evidently": (10_000.0, 10_000.0, 500.0, 500.0),
    "whylogs": (None, None, None, None),
}
EVIDENTLY_COLUMNS_MAX = 500  # at 500 it takes minutes; its time is proportional to the columns
MEMORY_MAX_MIB = 84
TOLERANCE = 1e-12


def main() -> int:
    """Measure, print, and say whether all answers were right."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, no peers: checks answers only")
    parser.add_argument("--no-peers", action="store_true", help="without the environments of others")
    parser.add_argument("--columns", type=int, nargs="*", default=[60, 500, 1000])
    arguments = parser.parse_args()
    if arguments.smoke:
        print("Smoke: answers are checked; sizes are too small for the ratios to mean anything.\n")
    reference_rows, window_rows, rounds = (4_000, 1_000, 1) if arguments.smoke else (100_000, 10_000, 7)
    others_ms: dict[str, float] = {}
    for n_columns in [12] if arguments.smoke else arguments.columns:
        case = case_of(n_columns, reference_rows, window_rows)
        if not (arguments.smoke or arguments.no_peers) and (n_columns <= EVIDENTLY_COLUMNS_MAX or not others_ms):
            others_ms = _peers_ms(case)
        elif others_ms:
            print(f"{n_columns} columns: the peers' ms a column are those of the case before")
        _measure(case, rounds, others_ms)
    _memory(*((20, 3) if arguments.smoke else (1000, 60)))
    return 0


def _measure(case: Case, rounds: int, others_ms: dict[str, float]) -> None:
    reference = reference_of(case.reference)
    values = {name: ColumnValues(values=column) for name, column in case.window.items()}
    binner, assessor, evaluator = Binner(reference.columns), Assessor(reference), Evaluator(reference)
    counts = binner.count(values)
    n_columns, window_rows = len(values), len(next(iter(case.window.values())))

    def numbers(counts: npt.NDArray[np.int64]) -> tuple[object, ...]:
        comparison, evidence = assessor.assess(counts)
        return statistics(comparison), evidence

    evaluation = evaluator.evaluate(counts, window_rows, WINDOW, EVALUATED_AT)
    drifted = {name for name, column in evaluation.columns.items() if column.verdict == "drifted"}
    _check("ours: drifted columns", drifted == case.shifted)
    _check_numbers(case, reference, assessor.assess(counts)[0])

    medians = take_turns(
        {
            OURS[0]: lambda: numbers(counts),
            OURS[1]: lambda: evaluator.evaluate(counts, window_rows, WINDOW, EVALUATED_AT),
            OURS[2]: lambda: numbers(binner.count(values)),
            OURS[3]: lambda: evaluator.evaluate(binner.count(values), window_rows, WINDOW, EVALUATED_AT),
            "binning alone": lambda: binner.count(values),
            "scipy loop": lambda: scipy_loop(case.reference, case.window),
            "scipy loop, no Wasserstein": lambda: scipy_loop(case.reference, case.window, wasserstein=False),
        },
        rounds=rounds,
    )
    ms = {name: median * 1e3 / n_columns for name, median in medians.items()} | others_ms
    title = f"{n_columns} columns, window of {window_rows:,} rows"
    for other, floors in OTHERS.items():
        if other in ms:
            lines = [
                Line(name=f"ours, {name}", figure=f"{ms[name]:.4f}", ratios=[ms[other] / ms[name]], floor=floor)
                for name, floor in zip(OURS, floors, strict=True)
            ]
            mine = [Line(name="ours, binning alone", figure=f"{ms['binning alone']:.4f}", ratios=[])]
            theirs = [Line(name=other, figure=f"{ms[other]:.4f}", ratios=[])]
            print_lines(f"{title}: {other}", "CPU ms a column", [f"{other} / ours"], lines + mine + theirs)


def _check_numbers(case: Case, reference: Reference, comparison: Comparison) -> None:
    numbers, raw = statistics(comparison), scipy_loop(case.reference, case.window)
    groups = comparison.groups
    for index, column in enumerate(reference.columns):
        if column.kind == "numeric":
            low, high, true = numbers["ks"][index], numbers["ks_upper"][index], raw[column.name]["ks"]
            _check(f"KS of {column.name}", low - TOLERANCE <= true <= high + TOLERANCE)
        span = slice(groups.starts[index], groups.starts[index] + groups.sizes[index])
        table = np.stack([groups.reference[span], groups.current[span]])
        expected = chi2_contingency(table[:, table.sum(axis=0) > 0], correction=False).statistic
        _check(f"chi2 of {column.name}", np.isclose(numbers["chi2"][index], expected, rtol=1e-9))


def _peers_ms(case: Case) -> dict[str, float]:
    found = {}
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as folder:
        data = Path(folder, "case.npz")
        np.savez(data, **_arrays(case))
        for peer in ("evidently", "whylogs"):
            answer = peers.answer_of(peer, "evaluation", data)
            if answer is None:
                continue
            _check(f"{peer}: rows", answer["rows"] == len(next(iter(case.window.values()))))
            _check(f"{peer}: drifted columns", set(answer["drifted"]) == case.shifted)
            found[peer] = answer["window_s"] * 1e3 / len(case.window)
    return found


def _arrays(case: Case) -> dict[str, npt.NDArray]:
    arrays = {}
    for kind, dtype in (("numeric", np.float64), ("categorical", np.str_)):
        names = [name for name, column in case.window.items() if (column.dtype.kind == "f") == (kind == "numeric")]
        arrays[f"{kind}_names"] = np.array(names)
        arrays[f"reference_{kind}"] = np.stack([case.reference[name].astype(dtype) for name in names], axis=1)
        arrays[f"window_{kind}"] = np.stack([case.window[name].astype(dtype) for name in names], axis=1)
    return arrays


def _memory(n_columns: int, n_panes: int) -> None:
    worker = [sys.executable, Path(__file__).with_name("model_memory.py")]
    answers = {}
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as folder:
        subprocess.run([*worker, "prepare", folder, str(n_columns), str(n_panes)], check=True)
        for how in ("traced", "resident"):
            done = subprocess.run([*worker, how, folder], check=True, capture_output=True, text=True)
            answers[how] = json.loads(done.stdout)
            _check(f"rows of the panes, {how}", answers[how]["rows_right"])
    traced, resident = answers["traced"]["mib"], answers["resident"]["mib"]
    bins, pane_type = answers["traced"]["bins"], answers["traced"]["pane_type"]
    print(f"Memory of a model: {n_columns:,} columns, {bins:,} bins, {n_panes} panes of {pane_type}; MiB")
    for part in traced:
        print(f"  {part:<10} traced {traced[part]:7.1f}   resident {resident[part]:7.1f}")
    largest = max(sum(traced.values()), sum(resident.values()))
    verdict = "met" if largest <= MEMORY_MAX_MIB else "ABOVE THE LIMIT"
    total = f"traced {sum(traced.values()):7.1f}   resident {sum(resident.values()):7.1f}"
    print(f"  {'total':<10} {total}   <= {MEMORY_MAX_MIB}: {verdict}")


def _check(name: str, right: object) -> None:
    if not right:
        sys.exit(f"WRONG ANSWER: {name}")


if __name__ == "__main__":
    sys.exit(main())
