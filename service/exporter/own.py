"""What the service says of itself: rows by fate, durations, the buffer, the outbox.

Label values are bounded: models are those that have been added, everything else comes from closed lists of the code or from
the configuration. The hot paths (rows and requests) look one dictionary entry up; `labels()` of prometheus-client takes a
lock and makes strings each time.
"""

import platform
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.metrics import MetricWrapperBase

from service.exporter.catalogue import CATALOGUE
from service.exporter.durations import Durations
from service.ports import DeliveryState, Swept

__all__ = ["OwnMetrics"]

_METRICS: Final = {metric.name: metric for metric in CATALOGUE}
_M = TypeVar("_M", bound=MetricWrapperBase)

_CLASSES: Final = tuple(f"{first}xx" for first in range(6))
_FATES: Final = ("accepted", "late", "duplicate", "dropped")
_VERDICTS: Final = ("stable", "drifted", "undecided")
_REASONS_MAX: Final = 32
"""There are about ten; a label must stay bounded when somebody makes a reason of a text."""

_REQUEST_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0)
_WORK_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)


class OwnMetrics:
    """The service's own metrics.

    Parameters
    ----------
    registry : CollectorRegistry
    version : str
        Of the service.
    """

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self._registry = registry
        self._rows = self._made(Counter, "driftline_rows_total")
        self._rejected = self._made(Counter, "driftline_rows_rejected_total")
        self._ignored = self._made(Counter, "driftline_ignored_cells_total")
        requests = _METRICS["driftline_request_duration_seconds"]
        self._requests = Durations(requests.name, requests.help, requests.labels, _REQUEST_BUCKETS_S)
        registry.register(self._requests)
        self._commits = self._histogram("driftline_commit_duration_seconds", _WORK_BUCKETS_S)
        self._commit_rows = self._made(Counter, "driftline_commit_rows_total")
        self._evaluation_times = self._histogram("driftline_evaluation_duration_seconds", _WORK_BUCKETS_S)
        self._evaluations = self._made(Counter, "driftline_evaluations_total")
        self._scrapes = self._histogram("driftline_scrape_duration_seconds", _WORK_BUCKETS_S)
        self._buffer = {
            name: self._made(Gauge, f"driftline_buffer_{name}")
            for name in ("rows", "rows_limit", "bytes", "limit_bytes")
        }
        self._outbox = self._made(Gauge, "driftline_outbox_deliveries")
        self._deliveries = self._made(Counter, "driftline_deliveries_total")
        self._store_errors = self._made(Counter, "driftline_store_errors_total")
        self._leases = self._made(Gauge, "driftline_leases_held")
        self._sweeps = self._made(Counter, "driftline_sweeps_total")
        self._expired = self._made(Counter, "driftline_panes_expired_total")
        self._evicted = self._made(Counter, "driftline_idempotency_evicted_total")
        self._made(Info, "driftline_build_info").info({"version": version, "python": platform.python_version()})
        ProcessCollector(registry=registry)
        self._rows_of: dict[tuple[str, str], Counter] = {}
        self._outbox_of: set[tuple[str, DeliveryState]] = set()
        self._models: set[str] = set()
        self._reasons: set[str] = set()

    # models

    def add_model(self, model: str) -> None:
        """Begin to count for a model, from zero; what is said of a model that was not added is not counted."""
        if model not in self._models:
            self._models.add(model)
            self._rows_of |= {(model, fate): self._rows.labels(model, fate) for fate in _FATES}
            self._ignored.labels(model)
            for verdict in _VERDICTS:
                self._evaluations.labels(model, verdict)

    def remove_model(self, model: str) -> None:
        """Drop the counters of a model."""
        self._models.discard(model)
        for fate in _FATES:
            self._rows_of.pop((model, fate), None)
        for counter in (self._rows, self._rejected, self._ignored, self._evaluations):
            counter.remove_by_labels({"model": model})

    def keep_models(self, models: Iterable[str]) -> None:
        """Add models that are new, and drop those that are gone."""
        wanted = set(models)
        for model in self._models - wanted:
            self.remove_model(model)
        for model in wanted:
            self.add_model(model)

    # rows and requests

    def rows(self, model: str, fate: str, rows: int) -> None:
        """Count rows: `accepted`, `late` (which are among the accepted), `duplicate` or `dropped`."""
        counter = self._rows_of.get((model, fate))
        if counter is not None and rows:
            counter.inc(rows)

    def rejected(self, model: str, reasons: Mapping[str, int]) -> None:
        """Count rows that were rejected, by reason."""
        if model in self._models:
            for reason, rows in reasons.items():
                self._rejected.labels(model, self._bounded(reason)).inc(rows)

    def ignored_cells(self, model: str, cells: int) -> None:
        """Count values in columns that the reference does not know."""
        if model in self._models and cells:
            self._ignored.labels(model).inc(cells)

    def request(self, route: str, status: int, duration_s: float) -> None:
        """Count a request; `route` is the template of the path, never the path."""
        self._requests.observe((route, _CLASSES[status // 100]), duration_s)

    # work

    def committed(self, rows: int, duration_s: float) -> None:
        """Count a commit."""
        self._commits.observe(duration_s)
        self._commit_rows.inc(rows)

    def evaluated(self, model: str, verdict: str, duration_s: float) -> None:
        """Count an evaluation."""
        self._evaluation_times.observe(duration_s)
        if model in self._models:
            self._evaluations.labels(model, verdict).inc()

    def scraped(self, duration_s: float) -> None:
        """Count a scrape."""
        self._scrapes.observe(duration_s)

    def buffer(self, *, rows: int, rows_max: int, waiting_bytes: int, bytes_max: int) -> None:
        """Say how full the buffer is."""
        self._buffer["rows"].set(rows)
        self._buffer["rows_limit"].set(rows_max)
        self._buffer["bytes"].set(waiting_bytes)
        self._buffer["limit_bytes"].set(bytes_max)

    def outbox(self, counts: Mapping[tuple[str, DeliveryState], int]) -> None:
        """Say how many deliveries there are; targets that are not named any more disappear."""
        for gone in self._outbox_of - counts.keys():
            self._outbox.remove(*gone)
        self._outbox_of = set(counts)
        for (target, state), deliveries in counts.items():
            self._outbox.labels(target, state).set(deliveries)

    def delivered(self, target: str, outcome: str) -> None:
        """Count an attempt to deliver a notice."""
        self._deliveries.labels(target, outcome).inc()

    def store_error(self, operation: str) -> None:
        """Count an operation that the store failed."""
        self._store_errors.labels(operation).inc()

    def leases(self, held: int) -> None:
        """Say how many leases this process holds."""
        self._leases.set(held)

    def swept(self, swept: Swept) -> None:
        """Count a round of housekeeping."""
        self._sweeps.inc()
        self._expired.inc(swept.panes_expired)
        self._evicted.inc(swept.marks_evicted)

    def _made(self, kind: type[_M], name: str, **more: Any) -> _M:
        metric = _METRICS[name]
        if kind is Info:  # appends its suffix itself, and its labels are what it says
            return kind(name.removesuffix("_info"), metric.help, registry=self._registry)
        return kind(name, metric.help, metric.labels, unit=metric.unit or "", registry=self._registry, **more)

    def _histogram(self, name: str, buckets: tuple[float, ...]) -> Histogram:
        return self._made(Histogram, name, buckets=buckets)

    def _bounded(self, reason: str) -> str:
        if reason not in self._reasons and len(self._reasons) >= _REASONS_MAX:
            return "other"
        self._reasons.add(reason)
        return reason
