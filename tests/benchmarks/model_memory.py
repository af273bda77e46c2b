"""Memory of one model, part by part, in a process of its own: prints one JSON object.

The reference as read from its file, all that is kept to evaluate with it, the lookup tables of both forms of binning, and
panes of real counts in the narrowest unsigned type. `traced` sizes come from tracemalloc, `resident` is the growth of
the process; run apart, because tracing itself takes memory. Started by `bench_evaluation.py`; by hand::

    python tests/benchmarks/model_memory.py 1000 60 traced
"""

import gc
import json
import sys
import tracemalloc
from pathlib import Path

import msgspec
import numpy as np
from samples import SHAPES, reference_of

from detectors.binning import Binner, ColumnValues
from detectors.reference import from_form, to_form
from service.evaluation.evaluate import Evaluator

REFERENCE_ROWS = 20_000
WINDOW_ROWS = 10_000


def main() -> None:
    """Build the parts one after another and measure after each."""
    n_columns, n_panes, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    rng = np.random.default_rng(0)
    draws = [SHAPES[{8: "lognormal", 9: "integer"}.get(i % 10, "normal")] for i in range(n_columns)]
    built = reference_of({f"x{i}": draw(rng, REFERENCE_ROWS) for i, draw in enumerate(draws)})
    data = msgspec.json.encode(to_form(built))
    counting = Binner(built.columns)
    pool = [np.stack([draw(rng, WINDOW_ROWS) for draw in draws], axis=1) for _ in range(3)]
    counts = []
    for _ in range(n_panes):  # windows that differ, without drawing ten million numbers for each
        rows = pool[int(rng.integers(len(pool)))][rng.integers(0, WINDOW_ROWS, WINDOW_ROWS)]
        counts.append(_narrow(counting.count_rows(rows)))
    pool = [pool[0]]
    built = counting = None
    gc.collect()

    if how == "traced":
        tracemalloc.start()
    sizes, before = {}, _now_bytes(how)

    def took(name: str) -> None:
        nonlocal before
        gc.collect()
        after = _now_bytes(how)
        sizes[name], before = (after - before) / 2**20, after

    reference = from_form(msgspec.json.decode(data))
    took("reference")
    evaluator = Evaluator(reference)
    took("evaluator")
    binner = Binner(reference.columns)
    binner.count_rows(pool[0][:1])
    binner.count({f"x{i}": ColumnValues(values=column) for i, column in enumerate(pool[0][:1].T)})
    took("binner")
    panes = [np.array(pane) for pane in counts]
    took("panes")
    kept = evaluator, binner, panes
    answer = {
        "mib": sizes,
        "pane_type": str(panes[0].dtype),
        "bins": int(reference.layout.n_bins_total),
        "rows_right": all(int(pane.sum(dtype=np.int64)) == WINDOW_ROWS * n_columns for pane in kept[2]),
    }
    print(json.dumps(answer))


def _narrow(counts: np.ndarray) -> np.ndarray:
    return counts.astype(np.min_scalar_type(int(counts.max())))


def _now_bytes(how: str) -> int:
    if how == "traced":
        return tracemalloc.get_traced_memory()[0]
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return resident_pages * 4096


if __name__ == "__main__":
    main()
