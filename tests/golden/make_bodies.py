"""Writes `tests/golden/bodies`: the same three rows in every format that clients send. From the root::

    PYTHONPATH=.:tests python tests/golden/make_bodies.py

Bodies that were taken once are taken forever: new files may be added, the old ones stay as they are.
"""

from pathlib import Path

from bodies import FORMATS, body_of

ROWS = [
    {"temp": 0.24, "count": 16, "season": "spring", "holiday": False, "id": 9007199254740993},
    {"temp": -1.5e300, "count": 0, "season": '\u00e9t\u00e9, or "summer"', "holiday": True, "id": 1},
    {"temp": None, "count": 40, "season": None, "holiday": None, "id": 2},
]
SUFFIXES = {
    "rows": "rows.json",
    "columns": "columns.json",
    "ndjson": "rows.ndjson",
    "csv": "rows.csv",
    "arrow": "rows.arrows",
    "parquet": "rows.parquet",
}
FOLDER = Path(__file__).parent / "bodies"

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for form in FORMATS:
        path = FOLDER / SUFFIXES[form]
        if not path.exists():
            path.write_bytes(body_of(form, ROWS))
