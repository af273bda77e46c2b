"""The Prometheus text format 0.0.4 and OpenMetrics 1.0.0, as far as gauges and infos need them.

A sample line is the same in both; the lines above a family differ. Label values may be any UTF-8: only backslash, quote and
line feed are escaped. Half a surrogate pair, which is not UTF-8, is spelt out.

References
----------
https://prometheus.io/docs/instrumenting/exposition_formats/ ; OpenMetrics 1.0.0, section "Text format".
"""

from collections.abc import Mapping
from typing import Final

from service.exporter.catalogue import Metric

__all__ = ["head_of", "label_value", "labels_of"]

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def label_value(text: str) -> str:
    """Text as it may stand between the quotes of a label value."""
    if not text.isascii():
        text = text.encode(errors="backslashreplace").decode()
    return text.translate(_ESCAPES)


def labels_of(labels: Mapping[str, str]) -> str:
    """Labels as they stand between the braces; empty ones are left out, which means the same to Prometheus."""
    return ",".join(f'{name}="{label_value(value)}"' for name, value in labels.items() if value)


def head_of(metric: Metric, *, openmetrics: bool) -> bytes:
    """HELP and TYPE lines of a family, and UNIT in OpenMetrics."""
    name, kind = metric.name, metric.type
    if openmetrics:
        name = name.removesuffix("_total").removesuffix("_info") if kind in {"counter", "info"} else name
    elif kind == "info":
        kind = "gauge"
    unit = f"# UNIT {name} {metric.unit}\n" if openmetrics and metric.unit else ""
    return f"# HELP {name} {metric.help}\n# TYPE {name} {kind}\n{unit}".encode()
