"""A sketch becomes a reference.

A column whose cells are single values, and any categorical column, becomes what `Builder` makes of the same rows, to the
last count. Of a column in wider cells nothing is assumed about what lies inside a cell: points are the largest values of
cells, so that every bin and every group is a union of whole cells and its count is exact. An atom is a cell that holds one
value. Where a heavy value shares its cell (30 % of the rows are 0.1, and two others are 0.1002) the cell as a whole is the
group, and unchanged traffic has the same share in it.

The edge at a cell's largest value is an order statistic, as the edges of any reference are: its rank is known, and the next
value of the same cell, which would lie above it, is one row away. Only the minimum of a cell that holds several values has
no count of its own; the first point is put just below it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from detectors.arrays import Counts, FloatArray, frozen
from detectors.binning.binner import Binner
from detectors.binning.points import RESOLUTION
from detectors.binning.values import DictionaryValues
from detectors.columns import Kind, NumericColumn
from detectors.errors import EmptyReferenceError
from detectors.learning.cells import Cells, cells_of, merged_cells
from detectors.learning.column import ColumnSketch
from detectors.learning.kinds import Finding, finding_of
from detectors.learning.sketch import Sketch
from detectors.reference.finish import Finished, finished
from detectors.reference.model import Reference
from detectors.reference.plan import CATEGORIES_MAX, numeric_plan, plan_of
from detectors.reference.survey import CategoricalSurvey

__all__ = ["Learned", "learned_reference"]

_LISTED: Final = 10  # columns that an error names


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learned:
    """A learned reference, and what was found.

    Parameters
    ----------
    reference : Reference
    findings : sequence of Finding
        One a column of the sketch, those left out too, and one a declared column that never came.
    """

    reference: Reference
    findings: Sequence[Finding]


def learned_reference(
    sketch: Sketch,
    *,
    model: str,
    version: str,
    created_at: str,
    window: str,
    time_zone: str,
    kinds: Mapping[str, Kind],
    resolution: int = RESOLUTION,
    categories_max: int = CATEGORIES_MAX,
    provenance: Mapping[str, object],
) -> Learned:
    """Make a reference of a sketch.

    Parameters
    ----------
    sketch : Sketch
    model, version, created_at, window, time_zone, provenance
        As in `Reference`.
    kinds : mapping of str to Kind
        Declared kinds.
    resolution : int
        Points of a numeric column, 32 to 4,096.
    categories_max : int
        Listed categories.

    Returns
    -------
    Learned
        The reference has the columns in the order of their names, no time column and no blocks.

    Raises
    ------
    EmptyReferenceError
        The sketch has no row, or no column that can be watched.
    """
    if not sketch.rows:
        raise EmptyReferenceError("no row to learn from")
    findings = [finding_of(name, column, kinds.get(name)) for name, column in sketch.columns.items()]
    watched = [finding for finding in findings if finding.kind is not None]
    if not watched:
        notes = "; ".join(f"{finding.name}: {finding.note}" for finding in findings[:_LISTED])
        raise EmptyReferenceError(f"no column left to monitor ({notes or 'the rows have none'})")
    items = [_finished(sketch, finding, watched, resolution, categories_max) for finding in watched]
    reference = Reference(
        model=model,
        version=version,
        created_at=created_at,
        rows=sketch.rows,
        window=window,
        time_zone=time_zone,
        time_column=None,
        columns=tuple(item.column for item in items),
        counts=Counts(frozen(np.concatenate([item.counts for item in items]))),
        group_starts=tuple(item.group_starts for item in items),
        means=frozen(np.concatenate([item.means for item in items])),
        mean=frozen(np.array([item.mean for item in items])),
        deviation=frozen(np.array([item.deviation for item in items])),
        exact=frozen(np.array([_is_exact(sketch.columns[f.name], f.kind) for f in watched], dtype=np.bool_)),
        sample_rows=sketch.rows,
        provenance=provenance,
    )
    never = [_never_came(name, kinds[name]) for name in kinds if name not in sketch.columns]
    return Learned(reference=reference, findings=[*findings, *never])


def _never_came(name: str, kind: Kind) -> Finding:
    return Finding(name=name, role="input", kind=None, declared=True, note=f"declared {kind}, but no row had it")


def _is_exact(column: ColumnSketch, kind: Kind | None) -> bool:
    return kind == "categorical" or not (column.cells.shift or column.lossy)


def _finished(
    sketch: Sketch, finding: Finding, watched: Sequence[Finding], resolution: int, categories_max: int
) -> Finished:
    column = sketch.columns[finding.name]
    alike = [other.name for other in watched if other.role == finding.role]
    # A row that lacks the column is missing there if it carries another one of the role.
    rows = max(sketch.carried.rows_of(finding.role, alike), column.rows)
    missing = rows - column.rows + column.missing
    if finding.kind == "categorical":
        return _categorical(finding, column, missing, categories_max)
    return _numeric(finding, column, missing, resolution)


def _categorical(finding: Finding, column: ColumnSketch, missing: int, categories_max: int) -> Finished:
    categories = column.categories() or {}
    survey = CategoricalSurvey(counts=Counter(categories), rows=column.rows, total=sum(categories.values()))
    plan = plan_of(finding.name, finding.role, survey, categories_max=categories_max)
    counts = np.zeros(plan.column.value_bins + 2, dtype=np.int64)
    every = DictionaryValues(codes=np.arange(len(categories)), dictionary=list(categories))
    np.add.at(counts, Binner([plan.column]).bins(0, every), np.array(list(categories.values()), dtype=np.int64))
    counts[-2:] = missing, column.others
    return finished(plan, counts, np.zeros(counts.size), 0.0)


def _numeric(finding: Finding, column: ColumnSketch, missing: int, resolution: int) -> Finished:
    cells = _with_booleans(column)
    lows, highs, often = _from_below_the_minimum(cells)
    single = lows == highs
    plan = numeric_plan(
        finding.name,
        finding.role,
        highs,
        often,
        exact=_is_exact(column, "numeric"),
        resolution=resolution,
        single=single if cells.shift else None,
    )
    # Local bins of a plan: {g} of point number k is 2 k + 1, the interval that ends at it 2 k.
    points = cast("NumericColumn", plan.column).points
    place = np.searchsorted(points, highs)
    bins = 2 * place + (single & (points[place] == highs))
    counts = np.zeros(plan.column.value_bins + 2, dtype=np.int64)
    np.add.at(counts, bins, often)
    counts[0] += cells.below
    counts[-3] += cells.above
    counts[-2:] = missing + column.nulls, column.texts - column.nulls + column.others
    middle = lows + (highs - lows) / 2
    totals = np.zeros(counts.size)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond a double, and then times no rows
        np.add.at(totals, bins, middle * often)
        squares = float((np.square(middle - plan.center) * often).sum())
    return finished(plan, counts, totals, squares)


def _with_booleans(column: ColumnSketch) -> Cells:
    weights = np.array([column.falses, column.trues], dtype=np.int64)
    if not column.booleans:
        return column.cells
    return merged_cells([column.cells, cells_of(np.array([0.0, 1.0])[weights > 0], weights[weights > 0])])


def _from_below_the_minimum(cells: Cells) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int64]]:
    """Cells with an empty one just below the first, if that holds several values: the first point must be one value."""
    if not cells.lows.size or cells.single[0]:
        return cells.lows, cells.highs, cells.counts
    with np.errstate(over="ignore"):
        below = np.maximum(np.nextafter(cells.lows[:1], -np.inf), np.finfo(np.float64).min)
    nothing = np.zeros(1, dtype=np.int64)
    return (
        np.concatenate([below, cells.lows]),
        np.concatenate([below, cells.highs]),
        np.concatenate([nothing, cells.counts]),
    )
