"""What a sidecar says of its way to the centre: how far behind it is, and what it could not keep.

The rows themselves are counted at the centre, as if they had been sent there: a sum over all processes has each row once.
"""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.exporter.catalogue import CATALOGUE

__all__ = ["UpstreamMetrics"]

_METRICS: Final = {metric.name: metric for metric in CATALOGUE}


class UpstreamMetrics:
    """Metrics of a sidecar, beside those of any process.

    Parameters
    ----------
    registry : CollectorRegistry
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._models: set[str] = set()
        self._up = self._gauge("driftline_upstream_up")
        self._pending = self._gauge("driftline_upstream_pending_rows")
        self._oldest = self._gauge("driftline_upstream_oldest_pending_seconds")
        self._last = self._gauge("driftline_upstream_last_sent_timestamp_seconds")
        self._sent = self._counter("driftline_upstream_sent_rows_total")
        self._dropped = self._counter("driftline_upstream_dropped_rows_total")

    def stands(self, *, up: bool | None, pending_rows: int, oldest_pending_s: float, last_sent_s: float | None) -> None:
        """Say how far behind the sidecar is."""
        self._up.set(float("nan") if up is None else up)
        self._pending.set(pending_rows)
        self._oldest.set(oldest_pending_s)
        self._last.set(float("nan") if last_sent_s is None else last_sent_s)

    def sent(self, model: str, rows: int) -> None:
        """Count rows whose counts the centre has."""
        self._sent.labels(model).inc(rows)

    def dropped(self, model: str, rows: int) -> None:
        """Count rows that were acknowledged on receipt and are lost."""
        self._dropped.labels(model).inc(rows)

    def keep_models(self, models: Iterable[str]) -> None:
        """Begin to count for models that are new, from zero, and drop the counters of those that are gone."""
        wanted = set(models)
        for gone in self._models - wanted:
            self._sent.remove_by_labels({"model": gone})
            self._dropped.remove_by_labels({"model": gone})
        for model in wanted:
            self._sent.labels(model)
            self._dropped.labels(model)
        self._models = wanted

    def _gauge(self, name: str) -> Gauge:
        metric = _METRICS[name]
        return Gauge(name, metric.help, metric.labels, unit=metric.unit or "", registry=self._registry)

    def _counter(self, name: str) -> Counter:
        metric = _METRICS[name]
        return Counter(name, metric.help, metric.labels, unit=metric.unit or "", registry=self._registry)
