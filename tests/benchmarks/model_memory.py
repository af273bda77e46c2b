"""Memory of one model, part by part, in a process of its own: prints one JSON object.

The reference as read from its file, all that is kept to evaluate with it, the lookup tables of both forms of binning, and
panes of real counts in the narrowest unsigned type. `traced` sizes come from tracemalloc, `resident` is how far the
process grows; apart, because tracing itself takes memory, and so does making the data. Started by
`bench_evaluation.py`; by hand::

    python tests/benchmarks/model_memory.py prepare FOLDER 1000 60
    python tests/benchmarks/model_memory.py traced FOLDER
    python tests/benchmarks/model_memory.py resident FOLDER
"""

import gc
import json
import os
import sys
import tracemalloc
from pathlib import Path

import numpy as np
from samples import SHAPES, reference_of

from detectors.binning import Binner, ColumnValues
from service.evaluation.evaluate import Evaluator
from service.registry.reference_file import read_reference, write_reference

REFERENCE_ROWS = 20_000
WINDOW_ROWS = 10_000
BATCHES = 3


def main() -> None:
    """Make the files, or build the parts one after another and measure after each."""
    how, folder = sys.argv[1], Path(sys.argv[2])
    if how == "prepare":
        prepare(folder, int(sys.argv[3]), int(sys.argv[4]))
    else:
        print(json.dumps(measured(folder, how)))


def prepare(folder: Path, n_columns: int, n_panes: int) -> None:
    """Write a reference, panes of counts, and one row."""
    rng = np.random.default_rng(0)
    draws = [SHAPES[{8: "lognormal", 9: "integer"}.get(i % 10, "normal")] for i in range(n_columns)]
    reference = reference_of({f"x{i}": draw(rng, REFERENCE_ROWS) for i, draw in enumerate(draws)})
    write_reference(reference, folder / "reference.json")
    binner = Binner(reference.columns)
    batches = [np.stack([draw(rng, WINDOW_ROWS) for draw in draws], axis=1) for _ in range(BATCHES)]
    for pane in range(n_panes):  # windows that differ, without drawing ten million numbers for each
        rows = batches[pane % BATCHES][rng.integers(0, WINDOW_ROWS, WINDOW_ROWS)]
        counts = binner.count_rows(rows)
        np.save(folder / f"pane_{pane}.npy", counts.astype(np.min_scalar_type(int(counts.max()))))
    np.save(folder / "row.npy", batches[0][:1])


def measured(folder: Path, how: str) -> dict[str, object]:
    """MiB that each part takes; the panes are checked to hold all rows."""
    row = np.load(folder / "row.npy")
    Evaluator(reference_of({"x": np.arange(100.0)}))  # what is imported or cached at the first use is not a model's
    if how == "traced":
        tracemalloc.start()
    parts, sizes, before = {}, {}, _now_bytes(how)
    for name in ("reference", "evaluator", "binner", "panes"):
        parts[name] = _part(name, parts, folder, row)
        gc.collect()
        after = _now_bytes(how)
        sizes[name], before = (after - before) / 2**20, after
    rows = [int(pane.sum(dtype=np.int64)) for pane in parts["panes"]]
    return {
        "mib": sizes,
        "pane_type": str(parts["panes"][0].dtype),
        "bins": int(parts["reference"].layout.n_bins_total),
        "rows_right": set(rows) == {WINDOW_ROWS * row.shape[1]},
    }


def _part(name: str, parts: dict, folder: Path, row: np.ndarray) -> object:
    if name == "reference":
        return read_reference(folder / "reference.json")
    if name == "evaluator":
        return Evaluator(parts["reference"])
    if name == "binner":
        binner = Binner(parts["reference"].columns)
        binner.count_rows(row)
        binner.count({f"x{i}": ColumnValues(values=column) for i, column in enumerate(row.T)})
        return binner
    return [np.load(path) for path in sorted(folder.glob("pane_*.npy"))]


def _now_bytes(how: str) -> int:
    if how == "traced":
        return tracemalloc.get_traced_memory()[0]
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
