"""Rows to counts per pane. Pure: the time and what is known of the model are arguments.

The small requests of a moment are gathered and binned as one block; what each of them is answered is worked out from its
part of the block. Every row that has a readable time in the range has a bin in every column it carries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from detectors.arrays import BoolArray, IndexArray
from detectors.binning import Binner, Values
from detectors.learning import Sketch
from service.ingest.blocks import Block
from service.ingest.fates import Clocked, Fates, Invalid, answers_of, fates_of
from service.ingest.pending import Answer
from service.ingest.positions import column_counts, column_positions, matrix_positions, without
from service.ports import LEARNING, LEARNING_PANE_US, Delta
from service.registry.models import LiveModel, LiveReference, LiveVersion
from service.storage.codec import encode_dense, encode_sparse, wrap_sketch
from service.windows.zones import US_PER_HOUR, UsArray

__all__ = ["Clocked", "Counted", "count_block"]

# A dense vector of this many counts is cheaper to fill than as many positions are to sort.
_DENSE_COUNTS_MAX: Final = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A block as counts.

    Parameters
    ----------
    deltas : sequence of Delta
    answers : sequence of Answer
        One a span of the block.
    newest_us : int or None
        Largest event time of the counted rows.
    """

    deltas: Sequence[Delta]
    answers: Sequence[Answer]
    newest_us: int | None


def count_block(model: LiveModel, version: LiveVersion, block: Block, clocked: Clocked) -> Counted:
    """Count a block of rows.

    Parameters
    ----------
    model : LiveModel
    version : LiveVersion
    block : Block
    clocked : Clocked

    Returns
    -------
    Counted
    """
    fates = fates_of(model, version, block, clocked)
    kept = fates.kept
    times_us = fates.times_us if kept is None else fates.times_us[kept]
    invalid = Invalid()
    deltas: list[Delta] = []
    if times_us.size:
        late = np.zeros(times_us.size, dtype=np.bool_)
        if fates.late is not None:
            late = fates.late if kept is None else fates.late[kept]
        deltas = _deltas(model, version, _Rows(model, block, fates, times_us, late), invalid)
    newest_us = int(times_us.max()) if times_us.size else None
    return Counted(deltas=deltas, answers=answers_of(block, fates, invalid), newest_us=newest_us)


class _Rows:
    """The rows of a block that are kept."""

    def __init__(self, model: LiveModel, block: Block, fates: Fates, times_us: UsArray, late: BoolArray) -> None:
        self.times_us = times_us
        self.late = late
        self.kept = fates.kept
        self.block = block
        self._left_out = model.unmonitored | ({fates.column} if fates.column is not None else frozenset())

    def columns(self, chosen: BoolArray | None = None) -> Mapping[str, Values]:
        """Columns of the kept rows, or of some of them."""
        columns = without(self.block.columns, self._left_out, self.kept)
        return columns if chosen is None else without(columns, frozenset(), chosen)


def _deltas(model: LiveModel, version: LiveVersion, rows: _Rows, invalid: Invalid) -> list[Delta]:
    if version.learning:
        return [_learned(model, version, rows)]
    if len(version.since) == 1:
        return _counted(model, version, version.since[0].reference, rows, None, invalid)
    which = version.which(rows.times_us)
    first = int(which[0])
    if (which == first).all():
        return _counted(model, version, version.since[first].reference, rows, None, invalid)
    return [
        delta
        for number in np.unique(which).tolist()
        for delta in _counted(model, version, version.since[number].reference, rows, which == number, invalid)
    ]


def _learned(model: LiveModel, version: LiveVersion, rows: _Rows) -> Delta:
    sketch = Sketch.of(rows.columns(), rows.times_us.size, model.roles)
    pane = LEARNING_PANE_US + int(rows.times_us.min()) // US_PER_HOUR
    return Delta(
        version=version.version,
        reference_id=LEARNING,
        pane_start_us=pane,
        window_start_us=pane,
        rows=rows.times_us.size,
        late=0,
        payload=wrap_sketch(sketch.to_bytes()),
    )


def _counted(  # noqa: PLR0917 - all of them are needed
    model: LiveModel,
    version: LiveVersion,
    live: LiveReference,
    rows: _Rows,
    chosen: BoolArray | None,
    invalid: Invalid,
) -> list[Delta]:
    times_us = rows.times_us if chosen is None else rows.times_us[chosen]
    late = rows.late if chosen is None else rows.late[chosen]
    panes, part = _panes(model.grid.pane_starts(times_us))
    payloads = _payloads(live.binner, rows, chosen, part, panes.size, invalid)
    return [
        Delta(
            version=version.version,
            reference_id=live.id,
            pane_start_us=pane,
            window_start_us=window,
            rows=n,
            late=n_late,
            payload=payload,
        )
        for pane, window, n, n_late, payload in zip(
            panes.tolist(),
            model.grid.base_starts(panes).tolist(),
            np.bincount(part, minlength=panes.size).tolist(),
            np.bincount(part[late], minlength=panes.size).tolist(),
            payloads,
            strict=True,
        )
    ]


def _panes(starts_us: UsArray) -> tuple[UsArray, IndexArray]:
    # Nearly always all rows of a block fall in one pane, and then nothing needs sorting.
    if starts_us[0] == starts_us[-1] and bool((starts_us == starts_us[0]).all()):
        return starts_us[:1], np.zeros(starts_us.size, dtype=np.intp)
    panes, part = np.unique(starts_us, return_inverse=True)
    return panes, part.astype(np.intp)


def _payloads(  # noqa: PLR0917 - all of them are needed
    binner: Binner, rows: _Rows, chosen: BoolArray | None, part: IndexArray, n_parts: int, invalid: Invalid
) -> list[bytes]:
    total = binner.layout.n_bins_total
    if chosen is None and rows.kept is None:
        positions = matrix_positions(binner, rows.block, part if n_parts > 1 else None, invalid)
        if positions is not None:
            return _encoded(positions, n_parts, total)
    columns = rows.columns(chosen)
    numbers = None if chosen is None else np.flatnonzero(chosen)
    if n_parts == 1 and _is_dense(part.size * len(columns), total):
        return [encode_dense(column_counts(binner, columns, part.size, invalid, numbers))]
    return _encoded(column_positions(binner, columns, part, invalid, numbers), n_parts, total)


def _is_dense(n_values: int, n_counts: int) -> bool:
    return n_counts <= _DENSE_COUNTS_MAX and n_values * 8 > n_counts


def _encoded(positions: IndexArray, n_parts: int, total: int) -> list[bytes]:
    if _is_dense(positions.size, n_parts * total):
        dense = np.bincount(positions, minlength=n_parts * total).reshape(n_parts, total)
        return [encode_dense(vector) for vector in dense]
    places, counts = np.unique(positions, return_counts=True)
    if n_parts == 1:
        return [encode_sparse(places, counts, total)]
    bounds = np.searchsorted(places, np.arange(n_parts + 1) * total).tolist()
    return [
        encode_sparse(places[low:high] - number * total, counts[low:high], total)
        for number, (low, high) in enumerate(pairwise(bounds))
    ]
