"""What is said of models and of the service itself in `/metrics`."""

from service.exporter.catalogue import CATALOGUE, Metric
from service.exporter.drift import DriftSeries, SeriesKey, VersionFacts
from service.exporter.exposition import render
from service.exporter.own import OwnMetrics
from service.exporter.upstream import UpstreamMetrics

__all__ = ["CATALOGUE", "DriftSeries", "Metric", "OwnMetrics", "SeriesKey", "UpstreamMetrics", "VersionFacts", "render"]
