"""Runs in Evidently's own environment: `run_evidently.py evaluation data.npz`; prints one JSON object.

The data drift preset with the tests it chooses itself; making its data sets of data frames is not timed.
"""

import json
import resource
import statistics
import sys
import time

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

ROUNDS = 3
ENOUGH_S = 30.0


def main() -> None:
    """Evaluate the window against the reference."""
    data = np.load(sys.argv[2])
    numeric, categorical = data["numeric_names"].tolist(), data["categorical_names"].tolist()
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=categorical)
    reference, window = (
        Dataset.from_pandas(frame_of(data, side), data_definition=definition) for side in ("reference", "window")
    )
    times, drifted = [], []
    while len(times) < ROUNDS and sum(times) < ENOUGH_S:
        start = time.process_time()
        report = Report([DataDriftPreset()]).run(window, reference).dict()
        times.append(time.process_time() - start)
        drifted = sorted(filter(None, map(drifted_column, report["metrics"])))
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = len(window.as_dataframe())
    answer = {"rows": rows, "drifted": drifted, "window_s": statistics.median(times), "peak_mib": peak_kib / 1024}
    print(json.dumps(answer))


def frame_of(data: np.lib.npyio.NpzFile, side: str) -> pd.DataFrame:
    """Columns of one side as a data frame."""
    found = {}
    for kind in ("numeric", "categorical"):
        found |= dict(zip(data[f"{kind}_names"].tolist(), data[f"{side}_{kind}"].T, strict=True))
    return pd.DataFrame({name: pd.Series(column.tolist()) for name, column in found.items()})


def drifted_column(metric: dict) -> str | None:
    """Name of a drifted column; all tests chosen for so many rows are distances: above the threshold is drift."""
    config = metric["config"]
    if not config["type"].endswith(":ValueDrift"):
        return None
    return config["column"] if metric["value"] > config["threshold"] else None


if __name__ == "__main__":
    main()
