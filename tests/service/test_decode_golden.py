"""Bodies as clients once sent them fall in the same bins for good (`tests/golden/make_bodies.py`)."""

from pathlib import Path

import numpy as np
import pytest
from bodies import counts_in, decoded

from detectors.columns import CategoricalColumn, NumericColumn
from service.ingest.decode import RowSchema

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "bodies"
FILES = {
    "rows.json": "rows", "columns.json": "columns", "rows.ndjson": "ndjson", "rows.csv": "csv", "rows.arrows": "arrow", "rows.parquet": "parquet",
}  # fmt: skip


def numeric(name, *points):
    return NumericColumn(name=name, role="input", points=np.array(points), atoms=np.ones(len(points), np.bool_))


def categorical(name, *categories):
    return CategoricalColumn(name=name, role="input", categories=categories, pools=(0,), others=np.empty(0, np.uint64))


COLUMNS = (
    numeric("temp", -1e300, 0.24),
    numeric("count", 0, 16, 30),
    categorical("season", "spring", '\u00e9t\u00e9, or "summer"'),
    categorical("holiday", "true", "false"),
    numeric("id", 1, 2, 2**53 + 1),
)
COUNTS = {
    # below, the points and what lies between, above, missing, invalid
    "temp": [1, 0, 0, 1, 0, 1, 0],
    "count": [0, 1, 0, 1, 0, 0, 1, 0, 0],
    # categories, other, unseen, missing, invalid
    "season": [1, 1, 0, 0, 1, 0],
    "holiday": [1, 1, 0, 0, 1, 0],
    "id": [0, 1, 0, 1, 0, 1, 0, 0, 0],
}


@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.iterdir()))
def test_golden_bodies_fall_in_the_bins_they_always_did(file):
    parts = decoded(FILES[file], (FOLDER / file).read_bytes(), RowSchema(list(COUNTS)))

    found = {column.name: counts_in([column], parts) for column in COLUMNS}

    assert found == COUNTS
