"""Which spans are evaluated when a base window ends, and the counts of a span. Pure.

The alarm looks at base windows and at the last s of them for each scale; a scale is tested every `max(1, s // 4)` base
windows. Views are for display only.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

import numpy as np

from detectors.arrays import Counts
from service.domain.configuration import ViewConfiguration
from service.domain.durations import format_duration, parse_duration_s
from service.ports import Pane
from service.registry.models import LiveModel, LiveVersion, Since
from service.storage.codec import add_into, merge
from service.windows.zones import US_PER_S

__all__ = [
    "Span",
    "base_label",
    "by_window",
    "corrected_spans",
    "earliest_us",
    "newest_panes",
    "spans_at",
    "sum_of",
    "view_spans",
    "within",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time that is evaluated.

    Parameters
    ----------
    start_us, end_us : int
    size : str
        Label, such as `6h` or `1000rows`.
    scale : int or None
        Number of base windows; None for a view.
    since : Since
        The reference that was active at its end.
    rows_min : int or None
        Of a view of the newest rows: it begins where there are so many.
    """

    start_us: int
    end_us: int
    size: str
    scale: int | None
    since: Since
    rows_min: int | None = None

    def refilling(self, first_us: int) -> bool:
        """Whether part of the span lies before the reference was active, or before the version had rows."""
        if self.scale is None:
            return False
        begins_us = self.since.from_us
        return self.start_us < first_us or (begins_us is not None and self.start_us < begins_us)


def base_label(model: LiveModel, scale: int = 1) -> str:
    """Label of windows of so many base windows."""
    return format_duration(scale * model.grid.base_s)


def spans_at(model: LiveModel, version: LiveVersion, end_us: int) -> Iterator[Span]:
    """Everything that is evaluated when the base window ends that ends at `end_us`."""
    since = version.at(end_us - 1)
    number = model.grid.number(end_us)
    sizes = set()
    for scale in dict.fromkeys(model.configuration.scales):
        if number % max(1, scale // 4) == 0:
            start, size = model.grid.back(end_us, scale), base_label(model, scale)
            sizes.add(size)
            yield Span(start_us=start, end_us=end_us, size=size, scale=scale, since=since)
    # A view with the size of a scale shows what the scale shows.
    yield from (view for view in view_spans(model, since, end_us) if view.size not in sizes)


def view_spans(model: LiveModel, since: Since, end_us: int) -> Iterator[Span]:
    """The views as of a time, each label once."""
    for view in {view.label: view for view in model.configuration.views}.values():
        yield Span(
            start_us=_view_start_us(model, view, end_us),
            end_us=end_us,
            size=view.label,
            scale=None,
            since=since,
            rows_min=view.rows,
        )


def corrected_spans(
    model: LiveModel,
    version: LiveVersion,
    closed_us: Sequence[int],
    dirty_us: Sequence[int],
    *,
    kept_us: int,
    full_before_us: int | None,
) -> Iterator[Span]:
    """Every span that late rows have changed, and whose counts are all there still; views are left as they were.

    Parameters
    ----------
    model : LiveModel
    version : LiveVersion
    closed_us : sequence of int
        Starts of the closed base windows with rows, in order: where nothing was, nothing is evaluated.
    dirty_us : sequence of int
        Starts of those with late rows, in order.
    kept_us : int
        Base windows that end at or before this may have gone from the store.
    full_before_us : int or None
        Spans that begin before this were not full when they were evaluated, and are now.
    """

    def changed(start_us: int, end_us: int) -> bool:
        first = bisect_left(dirty_us, start_us)
        touched = first < len(dirty_us) and dirty_us[first] < end_us
        return touched or (full_before_us is not None and start_us < full_before_us)

    longest = max(model.configuration.scales)
    for start_us in closed_us:
        end_us = model.grid.base_end(start_us)
        if changed(model.grid.back(end_us, longest), end_us):
            for span in spans_at(model, version, end_us):
                whole = span.start_us + model.grid.base_s * US_PER_S > kept_us
                if span.scale is not None and whole and changed(span.start_us, end_us):
                    yield span


def earliest_us(model: LiveModel, end_us: int) -> int:
    """Where the longest span begins that ends there."""
    starts = [model.grid.back(end_us, scale) for scale in model.configuration.scales]
    return min(starts + [_view_start_us(model, view, end_us) for view in model.configuration.views])


def by_window(panes: Iterable[Pane]) -> list[Pane]:
    """One pane a base window, with one payload, in order."""
    return [_together(list(some)) for _, some in groupby(panes, key=lambda pane: pane.window_start_us)]


def within(panes: Sequence[Pane], start_us: int, end_us: int) -> list[Pane]:
    """Panes that start in a span."""
    return [pane for pane in panes if start_us <= pane.start_us < end_us]


def newest_panes(panes: Sequence[Pane], rows_min: int) -> list[Pane]:
    """The newest panes with at least so many rows, or all of them."""
    before = 0

    def needed(pane: Pane) -> bool:
        nonlocal before
        enough = before >= rows_min
        before += pane.rows
        return not enough

    return list(takewhile(needed, reversed(panes)))[::-1]


def sum_of(panes: Iterable[Pane], n_bins_total: int) -> Counts:
    """Counts of panes together; shape [n_bins_total]."""
    total = np.zeros(n_bins_total, dtype=np.int64)
    for pane in panes:
        for payload in pane.payloads:
            add_into(total, payload)
    return Counts(total)


def _view_start_us(model: LiveModel, view: ViewConfiguration, end_us: int) -> int:
    length_s = parse_duration_s(view.size if view.size is not None else view.max_age)
    windows, more = divmod(length_s, model.grid.base_s)
    if more == 0 and model.grid.base_start(end_us) == end_us:
        return model.grid.back(end_us, windows)  # whole days, of however many hours
    return end_us - length_s * US_PER_S


def _together(panes: Sequence[Pane]) -> Pane:
    payloads = [payload for pane in panes for payload in pane.payloads]
    return Pane(
        start_us=panes[0].window_start_us,
        window_start_us=panes[0].window_start_us,
        rows=sum(pane.rows for pane in panes),
        late=sum(pane.late for pane in panes),
        payloads=tuple(payloads) if len(payloads) == 1 else (merge(payloads),),
    )
