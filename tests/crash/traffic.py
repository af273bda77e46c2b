"""Rows that can be made again: a batch is a function of a seed, its stream and its number.

Three models. `ordered` gets its rows in event time from several streams, drifts for a third of the time, and falls silent now
and then. `shuffled` gets rows that are up to an hour late. `bare` gets rows without idempotency keys, in batches that can be
told apart by pane and by the column `batch`. Cells are missing here and there, or of the wrong type.
"""

import gzip
import json
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

US_PER_S = 1_000_000
PANE_S = 15
WINDOW_S = 300
WINDOW_US = WINDOW_S * US_PER_S
START_US = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * US_PER_S  # long ago: a replay, which no clock drives

LATENESS_S = 3 * WINDOW_S
AHEAD_S = 2 * WINDOW_S
"""So far a stream may be ahead of the slowest one: less than the lateness, so that nothing of `ordered` is late."""

BATCHES_TOLD = 64
_DRIFT_WINDOWS = 6
_BUSY_WINDOWS, _SILENT_WINDOWS = 20, 3
ENOUGH_S = 2 * _DRIFT_WINDOWS * WINDOW_S
"""By then something has drifted."""

_KINDS = ("a", "b", "c", "d")
_SHARES, _SHARES_DRIFTED = (0.4, 0.3, 0.2, 0.1), (0.1, 0.2, 0.3, 0.4)
_LATE_SHARE, _LATE_S = 0.3, 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What one sender sends."""

    number: int
    name: str
    model: str
    form: str
    rows: int
    span_s: int
    keyed: bool = True
    late: bool = False


STREAMS = (
    Stream(number=0, name="rows", model="ordered", form="rows", rows=12, span_s=15),
    Stream(number=1, name="columns", model="ordered", form="columns", rows=10, span_s=15),
    Stream(number=2, name="bulk", model="ordered", form="ndjson", rows=1_100, span_s=300),  # two chunks
    Stream(number=3, name="late", model="shuffled", form="ndjson", rows=120, span_s=60, late=True),
    Stream(number=4, name="bare", model="bare", form="gzip", rows=7, span_s=15, keyed=False),
)
"""In short batches that take the service a moment each, and long ones that it takes in chunks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows of one request."""

    stream: Stream
    number: int
    start_s: int
    times_us: np.ndarray
    columns: dict

    @property
    def key(self):
        return f"{self.stream.name}-{self.number}" if self.stream.keyed else None

    def body(self):
        """Content type, content encoding and body."""
        match self.stream.form:
            case "columns":
                columns = {"t": [us / US_PER_S for us in self.times_us.tolist()]} | self.columns
                return "application/json", None, json.dumps({"columns": columns}).encode()
            case "ndjson":
                lines = [json.dumps(row) for row in self._rows(_written)]
                return "application/x-ndjson", None, ("\n".join(lines) + "\n").encode()
            case "gzip":
                return "application/json", "gzip", gzip.compress(json.dumps(self._rows(_written)).encode(), 1)
            case _:
                return "application/json", None, json.dumps(self._rows(lambda us: us / US_PER_S)).encode()

    def _rows(self, time_of):
        names = list(self.columns)
        cells = zip(*self.columns.values(), strict=True)
        return [
            {"t": time_of(us)} | dict(zip(names, row, strict=True))
            for us, row in zip(self.times_us.tolist(), cells, strict=True)
        ]


def batch_of(seed, stream, number):
    """A batch; its rows in the order of their times unless the stream is late."""
    rng = np.random.default_rng([seed, stream.number, number])
    start_s = _with_silence(stream, number * stream.span_s)
    offsets_ms = np.sort(rng.integers(0, stream.span_s * 1_000, stream.rows))
    times_us = START_US + start_s * US_PER_S + offsets_ms * 1_000
    if stream.late:
        late_us = int(rng.integers(0, _LATE_S)) * US_PER_S * (rng.random(stream.rows) < _LATE_SHARE)
        times_us = np.maximum(times_us - late_us, START_US)
    columns = columns_of(rng, stream.rows, drifted=_drifts(stream, start_s))
    if stream.model != "ordered":  # which would drift for it
        columns["items"][0], columns["kind"][-1] = "many", "never seen"
    if not stream.keyed:
        columns["batch"] = [f"b{number % BATCHES_TOLD}"] * stream.rows
    return Batch(stream=stream, number=number, start_s=start_s, times_us=times_us, columns=columns)


def columns_of(rng, rows, *, drifted):
    """Columns as lists of what JSON can say."""
    amounts = np.round(rng.standard_normal(rows) + (0.9 if drifted else 0.0), 4).astype(object)
    amounts[rng.random(rows) < 0.02] = None
    items = rng.poisson(7 if drifted else 5, rows).astype(object)
    kinds = rng.choice(np.array(_KINDS, dtype=object), rows, p=_SHARES_DRIFTED if drifted else _SHARES)
    return {
        "amount": amounts.tolist(),
        "items": items.tolist(),
        "kind": kinds.tolist(),
        "batch": [f"b{number}" for number in rng.integers(0, BATCHES_TOLD, rows).tolist()],
        "score": np.round(rng.random(rows) ** (3 if drifted else 1), 5).tolist(),
    }


def training_rows(seed, rows):
    """Columns of quiet traffic, with every name that `batch` can have."""
    columns = columns_of(np.random.default_rng([seed, 1_000]), rows, drifted=False)
    columns["batch"] = [f"b{number % BATCHES_TOLD}" for number in range(rows)]
    return columns


def _with_silence(stream, start_s):
    if stream.model != "ordered":
        return start_s
    return start_s + start_s // (_BUSY_WINDOWS * WINDOW_S) * _SILENT_WINDOWS * WINDOW_S


def _drifts(stream, start_s):
    return stream.model == "ordered" and start_s // (_DRIFT_WINDOWS * WINDOW_S) % 3 == 1


def _written(us):
    return datetime.fromtimestamp(us / US_PER_S, tz=UTC).isoformat().replace("+00:00", "Z")
