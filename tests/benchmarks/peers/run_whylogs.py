"""Runs in whylogs' own environment: `run_whylogs.py binning|evaluation data.npz`; prints one JSON object.

binning: profiles a batch, and single rows. evaluation: profiles a window and scores it against the profile of the
reference, which is made beforehand and timed apart.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import whylogs as why

ROUNDS = 5
SINGLE_ROWS = 200
SURE = 1e-6  # whylogs calls p < .05 drift, which one unchanged column in twenty is


def main() -> None:
    """Do the task that was asked for."""
    task, path = sys.argv[1:]
    data = np.load(path)
    print(json.dumps(binning(data) if task == "binning" else evaluation(data)))


def binning(data: np.lib.npyio.NpzFile) -> dict[str, object]:
    """Time a batch and single rows."""
    names = [f"x{i}" for i in range(data["batch"].shape[1])]
    frame = pd.DataFrame(data["batch"], columns=names)
    view = why.log(frame).view()
    columns = [view.get_column(name) for name in names]
    rows = [dict(zip(names, row, strict=True)) for row in data["batch"][:SINGLE_ROWS].tolist()]
    profile = why.log(row=rows[0]).profile()
    return {
        "rows": int(columns[0].get_metric("counts").n.value),
        "medians": [column.get_metric("distribution").kll.value.get_quantile(0.5) for column in columns],
        "batch_s": median_s(lambda: why.log(frame)),
        "row_s": median_s(lambda: [profile.track(row=row) for row in rows]) / len(rows),
    }


def evaluation(data: np.lib.npyio.NpzFile) -> dict[str, object]:
    """Time the comparison of a window with a reference."""
    from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores  # noqa: PLC0415 - a second to import

    reference, window = (frame_of(data, side) for side in ("reference", "window"))
    start = time.process_time()
    past = why.log(reference).view()
    reference_s = time.process_time() - start
    answer = {}

    def evaluate() -> None:
        scores = calculate_drift_scores(why.log(window).view(), past, with_thresholds=True)
        answer.update({name: score["pvalue"] < SURE for name, score in scores.items()})

    window_s = median_s(evaluate)
    drifted = sorted(name for name, moved in answer.items() if moved)
    return {"rows": len(window), "drifted": drifted, "window_s": window_s, "reference_s": reference_s}


def frame_of(data: np.lib.npyio.NpzFile, side: str) -> pd.DataFrame:
    """Columns of one side as a data frame."""
    found = {}
    for kind in ("numeric", "categorical"):
        found |= dict(zip(data[f"{kind}_names"].tolist(), data[f"{side}_{kind}"].T, strict=True))
    return pd.DataFrame({name: pd.Series(column.tolist()) for name, column in found.items()})


def median_s(run: Callable[[], object]) -> float:
    """Median CPU seconds of a call."""
    times = []
    while len(times) < ROUNDS and sum(times) < 60:
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
