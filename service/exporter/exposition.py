"""The document that `/metrics` answers with: series of models and the service's own, in the format that was asked for.

The models' families come first, so that the end mark that prometheus-client sets in OpenMetrics ends the whole. `_created`
samples are left out: in the text format each would be one more series a counter.
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from service.exporter.drift import DriftSeries

__all__ = ["render", "wants_openmetrics"]

_OPENMETRICS: Final = "application/openmetrics-text"
_OPENMETRICS_VERSIONS: Final = ("", "1.0.0")


def render(registry: Collector, drift: DriftSeries, accept_header: str | None) -> tuple[bytes, str]:
    """Body and content type of a scrape."""
    own = _WithoutCreated(registry)
    if wants_openmetrics(accept_header or ""):
        body = drift.render(openmetrics=True) + openmetrics.generate_latest(own)  # type: ignore[no-untyped-call] # untyped there
        return body, openmetrics.CONTENT_TYPE_LATEST
    return drift.render(openmetrics=False) + generate_latest(own), CONTENT_TYPE_PLAIN_0_0_4


def wants_openmetrics(accept_header: str) -> bool:
    """Whether OpenMetrics 1.0 is asked for by name, and not liked less than the text format."""
    liked = {_OPENMETRICS: 0.0, "text/plain": 0.0}
    for accepted in accept_header.split(","):
        media, *rest = (part.strip() for part in accepted.lower().split(";"))
        parameters = {name.strip(): value.strip(' "') for name, _, value in (part.partition("=") for part in rest)}
        if media == "text/plain" or (media == _OPENMETRICS and parameters.get("version", "") in _OPENMETRICS_VERSIONS):
            liked[media] = max(liked[media], _quality(parameters.get("q", "1")))
    return 0 < liked[_OPENMETRICS] >= liked["text/plain"]


class _WithoutCreated(Collector):
    def __init__(self, registry: Collector) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            kept = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            kept.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield kept


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
