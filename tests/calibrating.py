"""References with blocks, made from counts per group, for tests of the calibration."""

import numpy as np

from detectors.arrays import Counts
from detectors.calibration.past import Past
from detectors.columns import CategoricalColumn, NumericColumn
from detectors.reference import Blocks, Reference

HOUR_S = 3600
MONDAY_S = 1_767_571_200  # 2026-01-05T00:00:00Z


def hours_of(starts_s):
    return (starts_s - MONDAY_S) // HOUR_S % 168


def starts_of(n_windows, base_s=HOUR_S, first=0):
    return MONDAY_S + base_s * np.arange(first, first + n_windows, dtype=np.int64)


def drawn(rng, shapes, rows, *, levels=None, missing=0.05, invalid=0.02):
    """Segments of windows, [n_windows, n_segments]: multinomial, tilted by a level a window and column."""
    parts = []
    for column, (_, n_groups) in enumerate(shapes):
        base = 1 + np.arange(n_groups) % 3
        tilt = np.linspace(-1, 1, n_groups) if n_groups > 1 else np.zeros(1)
        level = np.zeros(rows.size) if levels is None else levels[:, column]
        shares = base * np.exp(level[:, None] * tilt)
        shares *= (1 - missing - invalid) / shares.sum(axis=1, keepdims=True)
        special = np.broadcast_to([missing, invalid], (rows.size, 2))
        parts.append(rng.multinomial(rows, np.concatenate([shares, special], axis=1)))
    return np.concatenate([np.empty((rows.size, 0), dtype=np.int64), *parts], axis=1).astype(np.int64)


def reference_of_blocks(shapes, segments, starts_s):
    """Reference of columns (kind, number of groups) whose windows have these segments; its rows are those of the windows."""
    columns, groups, fine, first = [], [], [], 0
    whole = segments.sum(axis=0)
    for place, (kind, n_groups) in enumerate(shapes):
        if kind == "numeric":
            atoms = np.arange(n_groups) == 0
            columns.append(NumericColumn(name=f"c{place}", role="input", points=np.arange(n_groups) * 1.0, atoms=atoms))
        else:
            names = tuple(f"category {k}" for k in range(n_groups))
            columns.append(
                CategoricalColumn(
                    name=f"c{place}", role="input", categories=names, pools=(0,), others=np.empty(0, "u8")
                )
            )
        groups.append(np.arange(n_groups, dtype=np.intp))
        own = whole[first : first + n_groups + 2]
        fine.append(np.concatenate([own[:n_groups], [0, 0], own[n_groups:]]))
        first += n_groups + 2
    n = len(shapes)
    return Reference(
        model="m",
        version="1",
        created_at="2026-01-01T00:00:00Z",
        rows=int(segments[:, : shapes[0][1] + 2].sum()) if shapes else 0,
        window="1h",
        time_zone="UTC",
        time_column="t",
        columns=tuple(columns),
        counts=Counts(np.concatenate([np.empty(0, dtype=np.int64), *fine]).astype(np.int64)),
        group_starts=tuple(groups),
        means=np.full(sum(part.size for part in fine), np.nan),
        mean=np.full(n, np.nan),
        deviation=np.full(n, np.nan),
        exact=np.ones(n, dtype=np.bool_),
        sample_rows=0,
        blocks=Blocks(
            starts_s=starts_s, rows=segments[:, : shapes[0][1] + 2].sum(axis=1) if shapes else starts_s, counts=segments
        ),
    )


def past_of(shapes, segments, *, base_s=HOUR_S, starts_s=None, scales=(1, 6, 24), rows_min=30, **kept):
    starts_s = starts_of(segments.shape[0], base_s) if starts_s is None else starts_s
    reference = reference_of_blocks(shapes, segments, starts_s)
    return Past(reference, hours_of(starts_s), base_s=base_s, scales=scales, rows_min=rows_min, **kept)
