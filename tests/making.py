"""References and windows of plain arrays, for tests."""

import numpy as np

from detectors.binning import Binner, ColumnValues
from detectors.comparison import Comparer
from detectors.reference import Builder, add_all, plan_of, priorities, survey_of


def values_of(column):
    return column if not isinstance(column, np.ndarray | list) else ColumnValues(values=np.asarray(column))


def kind_of(values):
    if isinstance(values, ColumnValues) and values.values.dtype.kind in "iuf":
        return "numeric"
    return "categorical"


def reference_of(
    columns, *, roles=None, kinds=None, resolution=256, categories_max=1000, sample_rows=10**9, chunk=None, **kept
):
    """Reference of arrays by name."""
    columns = {name: values_of(column) for name, column in columns.items()}
    n_rows = max(len(c.values) for c in columns.values())
    kinds = {name: (kinds or {}).get(name) or kind_of(values) for name, values in columns.items()}
    surveys = [survey_of(kinds[name], sample_rows) for name in columns]
    rng = np.random.default_rng(0)
    parts = [slice(i, i + (chunk or n_rows)) for i in range(0, n_rows, chunk or n_rows)]

    def part_of(values, part):
        missing = None if values.missing is None else values.missing[part]
        absent = None if values.absent is None else values.absent[part]
        return ColumnValues(values=values.values[part], missing=missing, absent=absent)

    for part in parts:
        some = [part_of(values, part) for values in columns.values()]
        add_all(surveys, some, priorities(rng, len(some[0].values)))
    builder = Builder(
        [
            plan_of(
                name, (roles or {}).get(name, "input"), survey, resolution=resolution, categories_max=categories_max
            )
            for name, survey in zip(columns, surveys, strict=True)
        ]
    )
    blocks = kept.pop("blocks", None)
    for part in parts:
        some = {name: part_of(values, part) for name, values in columns.items()}
        rows = len(next(iter(some.values())).values)
        builder.add(some, rows, None if blocks is None else blocks[part])
    facts = {
        "model": "m",
        "version": "1",
        "created_at": "2026-01-01T00:00:00Z",
        "window": "1h",
        "time_zone": "UTC",
        "time_column": None if blocks is None else "t",
        "sample_rows": sample_rows,
        "provenance": {},
    }
    return builder.finish(**(facts | kept))


def counts_of(reference, columns):
    return Binner(reference.columns).count({name: values_of(column) for name, column in columns.items()})


def comparison_of(reference, columns):
    return Comparer(reference).compare(counts_of(reference, columns))
