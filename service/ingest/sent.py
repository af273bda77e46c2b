"""Counts that a sidecar has sent, held against the model as it is here. Pure.

A sidecar that counted by the model's epoch had the same configuration and the same references: what does not fit them then
is a mistake of its, and nothing of the batch is counted. What the sidecar decided row by row (which are late, which refused)
is taken from it: it asked this clock, and knew how far the versions had come.

A wrong count could not be found any more once it is added, so each is looked at: a row has at most one value in a column.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
import numpy as np

from detectors.errors import SketchFormatError
from detectors.learning import Sketch
from service.errors import DecodeError, DriftlineError, PayloadError
from service.ingest.fates import EARLIEST_US, REASONS
from service.ingest.pending import Answer
from service.ports import LEARNING, LEARNING_PANE_US, Commit, Delta, Mark
from service.registry.models import LiveModel, LiveReference, LiveVersion
from service.storage.codec import entries, unwrap_sketch
from service.storage.wire import CountsDelta, CountsDocument
from service.windows.zones import MAX_US, US_PER_HOUR, US_PER_S

__all__ = ["AnotherClockError", "commit_of", "identity_of"]

_REASONS: Final = frozenset({*REASONS, "unreadable"})

_HEADER_BYTES_MAX: Final = 64 << 20
"""What the names and categories of a sketch may inflate to."""


class AnotherClockError(DriftlineError):
    """Rows were counted by a clock that is ahead of this one."""


def identity_of(model: str, document: CountsDocument) -> Commit:
    """What a batch is recognised by, without its counts: of an older epoch they could not be counted, but may have been."""
    return Commit(model=model, epoch=document.epoch, deltas=(), marks=_marks(document), turn=document.turn)


def commit_of(model: LiveModel, document: CountsDocument, now_us: int) -> Commit:
    """A batch as the store takes it.

    Parameters
    ----------
    model : LiveModel
        Of the epoch that the batch names.
    document : CountsDocument
    now_us : int
        By the store's clock.

    Raises
    ------
    DecodeError
        422: which field does not fit the model, and what was wanted.
    AnotherClockError
        A row of it lies in the future.
    """
    deltas = [_delta(model, delta, f"deltas[{index}]") for index, delta in enumerate(document.deltas)]
    _check_newest(model, document, now_us)
    _check_tally(document)
    return Commit(
        model=model.model,
        epoch=document.epoch,
        deltas=deltas,
        marks=_marks(document),
        newest_us=document.newest_us,
        tally=document.tally.tally(),
        turn=document.turn,
    )


def _marks(document: CountsDocument) -> list[Mark]:
    marks: list[Mark] = []
    for index, mark in enumerate(document.marks):
        try:
            Answer.again(mark.answer)  # what cannot be read would be found out when the request comes again
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _wrong(f"marks[{index}].answer", "the JSON that the sender of the rows is answered") from error
        marks.append(Mark(key=mark.key, digest=mark.digest, answer=mark.answer))
    if len({mark.key for mark in marks}) < len(marks):
        raise _wrong("marks", "each key once")
    return marks


def _delta(model: LiveModel, delta: CountsDelta, at: str) -> Delta:
    version = model.versions.get(delta.version)
    if version is None:
        raise _wrong(f"{at}.version", "a version of the model")
    if delta.segment:
        raise _wrong(f"{at}.segment", "none: the model has no segments")
    if delta.late > delta.rows:
        raise _wrong(f"{at}.late", "at most as many as rows")
    if version.learning:
        return _learned(delta, at)
    _check_counts(delta, _reference(model, version, delta, at), at)
    return delta.delta(model.grid.base_start(delta.pane_start_us))


def _learned(delta: CountsDelta, at: str) -> Delta:
    if delta.reference_id != LEARNING:
        raise _wrong(f"{at}.reference_id", f"'{LEARNING}': the version has no reference yet")
    if not EARLIEST_US <= (delta.pane_start_us - LEARNING_PANE_US) * US_PER_HOUR <= MAX_US:
        raise _wrong(f"{at}.pane_start_us", "2**62 and the hour since the epoch, while the version learns")
    try:
        sketch = Sketch.from_bytes(unwrap_sketch(delta.payload), header_bytes_max=_HEADER_BYTES_MAX)
    except (SketchFormatError, PayloadError) as error:
        raise _wrong(f"{at}.payload", "a sketch, since the version learns") from error
    if sketch.rows != delta.rows or delta.late:
        raise _wrong(f"{at}.rows", "those of the sketch, none of them late")
    return delta.delta(delta.pane_start_us)


def _reference(model: LiveModel, version: LiveVersion, delta: CountsDelta, at: str) -> LiveReference:
    pane_us = model.grid.pane_s * US_PER_S
    start_us = delta.pane_start_us
    if start_us % pane_us or not EARLIEST_US <= start_us <= MAX_US - pane_us:
        raise _wrong(f"{at}.pane_start_us", f"the start of a pane of {model.configuration.pane}")
    first, last = version.which(np.array([start_us, start_us + pane_us - 1], dtype=np.int64)).tolist()
    for since in version.since[first : last + 1]:
        if since.reference.id == delta.reference_id:
            return since.reference
    raise _wrong(f"{at}.reference_id", "the reference that was active in the pane")


def _check_counts(delta: CountsDelta, live: LiveReference, at: str) -> None:
    layout = live.binner.layout
    try:
        positions, counts = entries(delta.payload, layout.n_bins_total)
    except PayloadError as error:
        raise _wrong(f"{at}.payload", f"counts of the reference's bins ({error})") from error
    if counts.size == 0:
        return
    if int(counts.min()) < 0 or int(counts.max()) > delta.rows:
        raise _wrong(f"{at}.payload", "counts from 0 to the rows of the delta")
    if positions is None:
        by_column = np.add.reduceat(counts.astype(np.int64), layout.starts)
    else:
        column = np.searchsorted(layout.offsets, positions, side="right") - 1
        by_column = np.bincount(column, weights=counts).astype(np.int64)
    if int(by_column.max()) > delta.rows:
        raise _wrong(f"{at}.payload", "in each column at most one count a row")


def _check_newest(model: LiveModel, document: CountsDocument, now_us: int) -> None:
    if document.newest_us.keys() != {delta.version for delta in document.deltas}:
        raise _wrong("newest_us", "the largest event time of each version that has deltas, and of no other")
    for version, (first_us, last_us) in _reach(model, document):
        newest_us = document.newest_us[version]
        if not first_us <= newest_us < last_us:
            raise _wrong("newest_us", "a time in the last pane of the version")
        if newest_us > now_us + model.clock_skew_us:
            raise AnotherClockError("a row lies in the future, by the clock here; fetch the time, and count again")


def _reach(model: LiveModel, document: CountsDocument) -> Iterator[tuple[str, tuple[int, int]]]:
    """Where the newest row of each version may lie."""
    last: Mapping[str, int] = {
        delta.version: delta.pane_start_us for delta in sorted(document.deltas, key=lambda delta: delta.pane_start_us)
    }
    for version, start_us in last.items():
        if start_us >= LEARNING_PANE_US + EARLIEST_US // US_PER_HOUR:
            # Rows of several hours lie in the pane of the first.
            yield version, ((start_us - LEARNING_PANE_US) * US_PER_HOUR, MAX_US)
        else:
            yield version, (start_us, start_us + model.grid.pane_s * US_PER_S)


def _check_tally(document: CountsDocument) -> None:
    tally = document.tally
    if tally.accepted != sum(delta.rows for delta in document.deltas):
        raise _wrong("tally.accepted", "the rows of all deltas")
    if tally.late > tally.accepted:
        raise _wrong("tally.late", "at most as many as accepted")
    if not tally.rejected.keys() <= _REASONS:
        raise _wrong("tally.rejected", f"reasons among {', '.join(sorted(_REASONS))}")


def _wrong(field: str, wanted: str) -> DecodeError:
    return DecodeError(422, f"{field}: wanted {wanted}")
