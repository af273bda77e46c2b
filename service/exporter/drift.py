"""The latest evaluations as series: bytes that are made once per evaluation and only joined by a scrape.

Prometheus wants the samples of a family together, evaluations come one at a time. So what is kept is, of each evaluation,
the bytes of each family; a scrape joins them family by family, which copies memory and formats nothing, and the joined
document is kept until something changes. Labels are escaped and joined once per column, not once per sample.

What bounds it: `columns_max` columns a window, chosen as `sticky` says, and `series_max` series in all. Beyond that limit
columns are left out, most of all of the window that has most; the series of windows and versions go last.

Not for several threads: the event loop's thread updates and renders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from service.domain.configuration import MetricsConfiguration
from service.exporter.catalogue import CATALOGUE
from service.exporter.samples import (
    COLUMN_FAMILIES,
    VERSION_FAMILIES,
    WINDOW_FAMILIES,
    WINDOW_SERIES_MAX,
    Block,
    VersionFacts,
    column_block,
    column_series_max,
    version_block,
    window_block,
)
from service.exporter.sticky import sticky_columns
from service.exporter.text import head_of, label_value, labels_of

__all__ = ["DriftSeries", "SeriesKey", "VersionFacts"]

SERIES_MAX: Final = 200_000
"""About 30 MB a scrape; a Prometheus server of usual size takes that, and not much more, from one target."""

_METRICS: Final = {metric.name: metric for metric in CATALOGUE}
_HEADS: Final = {
    openmetrics: {name: head_of(metric, openmetrics=openmetrics) for name, metric in _METRICS.items()}
    for openmetrics in (False, True)
}
_LEFT_OUT: Final = "driftline_window_columns_left_out"
_NO_COLUMNS: Final = Block(samples=(b"",) * len(COLUMN_FAMILIES), series=0)
_NO_WINDOW: Final = Block(samples=(b"",) * len(WINDOW_FAMILIES), series=0)
_NO_VERSION: Final = Block(samples=(b"",) * len(VERSION_FAMILIES), series=0)
_WINDOW_SERIES_MAX: Final = WINDOW_SERIES_MAX + 1  # and the number of columns that were left out


class SeriesKey(NamedTuple):
    """Whose series: a segment ("" is all of the traffic) of a model version, in windows of one size."""

    model: str
    version: str
    segment: str
    window: str


@dataclass(slots=True, kw_only=True)
class _Watched:
    """What is kept of the latest evaluation of a key."""

    labels: str
    column_labels: dict[tuple[str, str], str] = field(default_factory=dict)
    exported: Sequence[str] = ()
    columns: Block = _NO_COLUMNS
    window: Block = _NO_WINDOW
    evaluated: int = 0
    column_series_max: int = 0
    refused: int = 0
    """Series, at most, that were left out for `series_max`."""

    @property
    def series(self) -> int:
        return self.columns.series + self.window.series + bool(self.window.series)

    @property
    def left_out(self) -> bytes:
        count = self.evaluated - len(self.exported)
        return f"{_LEFT_OUT}{{{self.labels}}} {count}\n".encode() if self.window.series else b""


class DriftSeries:
    """Series of the models that are watched.

    Parameters
    ----------
    series_max : int
        Series in all, beside three that tell of this limit.
    """

    def __init__(self, series_max: int = SERIES_MAX) -> None:
        self.series_max = series_max
        self._watched: dict[SeriesKey, _Watched] = {}
        self._versions: dict[tuple[str, str], Block] = {}
        self._refused_versions: dict[tuple[str, str], int] = {}
        self._series = 0
        self._rendered: dict[bool, bytes] = {}

    @property
    def series(self) -> int:
        """Series that are exported."""
        return self._series

    def update(self, key: SeriesKey, document: Mapping[str, Any], exported: MetricsConfiguration) -> None:
        """Take an evaluation document (`driftline.evaluation/1`) as the latest of its key; it replaces all of the last."""
        last = self._watched.get(key) or _Watched(
            labels=labels_of(dict(zip(("model", "version", "segment", "window"), key, strict=True)))
        )
        columns, series_max = document["columns"], column_series_max(exported.statistics)
        room = self._make_room(_WINDOW_SERIES_MAX - last.series, but_of=last)
        wanted = min(len(columns), exported.columns_max)
        names = sticky_columns(columns, last.exported, min(wanted, max(room, 0) // series_max))
        labels = _column_labels(last, names, columns)
        labelled = [(label, columns[name]) for (name, _), label in labels.items()]
        new = _Watched(
            labels=last.labels,
            column_labels=labels,
            exported=names,
            columns=column_block(labelled, exported.statistics),
            window=window_block(last.labels, document) if room >= 0 else _NO_WINDOW,
            evaluated=len(columns),
            column_series_max=series_max,
            refused=(wanted - len(names)) * series_max + (0 if room >= 0 else _WINDOW_SERIES_MAX),
        )
        self._watched[key] = new
        self._series += new.series - last.series
        if new != last:
            self._rendered.clear()

    def set_model(self, model: str, version: str, facts: VersionFacts) -> None:
        """Take what is known of a model version beside its evaluations; it replaces all that was said before."""
        key = (model, version)
        labels, reference = labels_of({"model": model, "version": version}), label_value(facts.reference_id or "")
        last, new = self._versions.get(key, _NO_VERSION), version_block(labels, reference, facts)
        fits = self._make_room(new.series - last.series) >= 0
        self._refused_versions[key] = 0 if fits else new.series
        self._versions[key] = new if fits else _NO_VERSION
        self._series += self._versions[key].series - last.series
        if not fits or new != last:
            self._rendered.clear()

    def remove(self, key: SeriesKey) -> None:
        """Forget the evaluation of a key."""
        watched = self._watched.pop(key, None)
        if watched is not None:
            self._series -= watched.series
            self._rendered.clear()

    def remove_model(self, model: str, version: str | None = None) -> None:
        """Forget a model, or one of its versions."""
        for key in [key for key in self._watched if key.model == model and version in {None, key.version}]:
            self.remove(key)
        for name in [name for name in self._versions if name[0] == model and version in {None, name[1]}]:
            self._series -= self._versions.pop(name).series
            del self._refused_versions[name]
            self._rendered.clear()

    def render(self, *, openmetrics: bool) -> bytes:
        """All families, without the end mark of OpenMetrics; the same object while nothing has changed."""
        rendered = self._rendered.get(openmetrics)
        if rendered is None:
            rendered = self._rendered[openmetrics] = self._joined(_HEADS[openmetrics])
        return rendered

    def _joined(self, heads: Mapping[str, bytes]) -> bytes:
        all_watched = list(self._watched.values())
        parts = _families(COLUMN_FAMILIES, [watched.columns for watched in all_watched])
        parts |= _families(WINDOW_FAMILIES, [watched.window for watched in all_watched])
        parts[_LEFT_OUT] = b"".join(watched.left_out for watched in all_watched)
        parts |= _families(VERSION_FAMILIES, list(self._versions.values()))
        limits = {
            "driftline_series_exported": self._series,
            "driftline_series_limit": self.series_max,
            "driftline_series_left_out": sum(watched.refused for watched in all_watched)
            + sum(self._refused_versions.values()),
        }
        parts |= {name: f"{name} {value}\n".encode() for name, value in limits.items()}
        return b"".join(heads[name] + samples for name, samples in parts.items() if samples)

    def _make_room(self, series: int, but_of: _Watched | None = None) -> int:
        """Room that is left after so many more series; columns of others give way to them, but not to columns."""
        while (room := self.series_max - self._series - series) < 0:
            widest = max(
                (watched for watched in self._watched.values() if watched is not but_of and watched.columns.series),
                key=lambda watched: watched.columns.series,
                default=None,
            )
            if widest is None:
                return room
            self._series -= widest.columns.series
            widest.refused += len(widest.exported) * widest.column_series_max
            widest.columns, widest.exported = _NO_COLUMNS, ()
            self._rendered.clear()
        return room


def _column_labels(
    last: _Watched, names: Sequence[str], columns: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, str], str]:
    """Labels by column and role, kept from last time where there are any."""
    kept = last.column_labels
    return {
        column: kept.get(column) or f"{last.labels},{labels_of({'column': column[0], 'role': column[1]})}"
        for column in ((name, columns[name]["role"]) for name in names)
    }


def _families(names: Sequence[str], blocks: Sequence[Block]) -> dict[str, bytes]:
    joined = map(b"".join, zip(*(block.samples for block in blocks), strict=True))
    return dict(zip(names, joined, strict=False))
