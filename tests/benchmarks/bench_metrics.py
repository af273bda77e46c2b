"""CPU time of a scrape at 50,000 series of models, beside prometheus-client's registry with the same series.

Ours after every evaluation changed, after one of the models changed, and when nothing changed; theirs with `set` on kept
children and rendered, which is the fastest it offers, and rendered alone. Exit 1 when an answer is wrong: read back by
prometheus-client's own parser, both must say the same. From the root of the repository::

    python tests/benchmarks/bench_metrics.py [--smoke] [--models 25]
"""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from timing import Line, print_lines, take_turns

from service.domain.configuration import MetricsConfiguration
from service.exporter import DriftSeries, SeriesKey, render
from service.exporter.own import OwnMetrics

SERIES = 50_000
SERIES_A_COLUMN = 16
NOTHING_CHANGED_MAX_S = 0.002
EXPORTED = MetricsConfiguration(columns_max=10_000)
STATISTICS = EXPORTED.statistics
VERDICTS = ("stable", "drifted", "undecided")
NUMBERS = {
    "pvalue": "driftline_drift_pvalue",
    "pvalue_threshold": "driftline_drift_pvalue_threshold",
    "effect": "driftline_drift_effect",
    "effective_rows": "driftline_drift_effective_rows",
    "missing_ratio": "driftline_column_missing_ratio",
    "unseen_ratio": "driftline_column_unseen_ratio",
    "out_of_range_ratio": "driftline_column_out_of_range_ratio",
    "invalid_ratio": "driftline_column_invalid_ratio",
    "rows": "driftline_column_rows",
}
Labels = tuple[str, ...]


def main() -> int:
    """Measure, print, and say whether all answers were right."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: checks answers only")
    parser.add_argument("--models", type=int, default=25)
    arguments = parser.parse_args()
    if arguments.smoke:
        print("Smoke: answers are checked; sizes are too small for the ratios to mean anything.\n")
    models, series, rounds = (2, 640, 1) if arguments.smoke else (arguments.models, SERIES, 5)
    n_columns = series // models // SERIES_A_COLUMN
    documents = [
        {f"m{model}": document_of(f"m{model}", n_columns, turn) for model in range(models)} for turn in range(2)
    ]
    ours, theirs = Ours(), Theirs()
    turns = {"ours": 0, "theirs": 0, "one": 0}

    def next_of(who: str) -> Mapping[str, Any]:
        turns[who] += 1
        return documents[turns[who] % 2]

    def one_changed() -> bytes:
        ours.update({"m0": next_of("one")["m0"]})
        return ours.render()

    def all_changed() -> bytes:
        ours.update(next_of("ours"))
        return ours.render()

    def theirs_changed() -> bytes:
        theirs.update(next_of("theirs"))
        return theirs.render()

    medians = take_turns(
        {
            "ours, every evaluation new": all_changed,
            "ours, one model's new": one_changed,
            "ours, nothing new": ours.render,
            "prometheus-client, every value set": theirs_changed,
            "prometheus-client, nothing new": theirs.render,
        },
        rounds=rounds,
    )
    ours.update(documents[0])
    theirs.update(documents[0])
    check_same(ours, theirs, models * n_columns * SERIES_A_COLUMN)
    ours_all, ours_one, ours_none, theirs_all, theirs_none = medians.values()
    floor = None if arguments.smoke else 6.0
    lines = [
        Line(
            name="ours, every evaluation new",
            figure=f"{ours_all * 1e3:.2f}",
            ratios=[theirs_all / ours_all],
            floor=floor,
        ),
        Line(
            name="ours, one model's new", figure=f"{ours_one * 1e3:.2f}", ratios=[theirs_none / ours_one], floor=floor
        ),
        Line(name="ours, nothing new", figure=f"{ours_none * 1e3:.2f}", ratios=[theirs_none / ours_none], floor=floor),
        Line(name="prometheus-client, every value set", figure=f"{theirs_all * 1e3:.1f}", ratios=[]),
        Line(name="prometheus-client, nothing new", figure=f"{theirs_none * 1e3:.1f}", ratios=[]),
    ]
    title = (
        f"{ours.drift.series:,} series of {models} models, {len(ours.render()) / 2**20:.1f} MiB, own metrics included"
    )
    print_lines(title, "CPU ms a scrape", ["prometheus-client / ours"], lines)
    if not arguments.smoke:
        verdict = "met" if ours_none <= NOTHING_CHANGED_MAX_S else "ABOVE THE LIMIT"
        Console(highlight=False).print(f"nothing new: <= {NOTHING_CHANGED_MAX_S * 1e3:g} ms: {verdict}")
    return 0


class Ours:
    """Our series, with the service's own metrics beside them as in a real scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.own = OwnMetrics(self.registry, "0")
        self.drift = DriftSeries()

    def update(self, documents: Mapping[str, Any]) -> None:
        """Take evaluations."""
        for model, document in documents.items():
            self.drift.update(SeriesKey(model, "1", "", "1h"), document, EXPORTED)

    def render(self) -> bytes:
        """Body of a scrape."""
        return render(self.registry, self.drift, None)[0]


class Theirs:
    """The same series as gauges of prometheus-client, their children kept."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("model", "version", "window", "column", "role")
        self.gauges = {name: Gauge(name, "x", labels, registry=self.registry) for name in NUMBERS.values()}
        self.statistic = Gauge("driftline_drift_statistic", "x", (*labels, "statistic"), registry=self.registry)
        self.verdict = Gauge("driftline_column_verdict", "x", (*labels, "verdict"), registry=self.registry)
        self.children: dict[tuple[Gauge, Labels], Gauge] = {}

    def update(self, documents: Mapping[str, Any]) -> None:
        """Set every value."""
        for model, document in documents.items():
            for name, column in document["columns"].items():
                labels = (model, "1", "1h", name, column["role"])
                for field, metric in NUMBERS.items():
                    self._set(self.gauges[metric], labels, column[field])
                for statistic in STATISTICS:
                    self._set(self.statistic, (*labels, statistic), column["statistics"][statistic])
                for verdict in VERDICTS:
                    self._set(self.verdict, (*labels, verdict), column["verdict"] == verdict)

    def render(self) -> bytes:
        """Body of a scrape."""
        return generate_latest(self.registry)

    def _set(self, gauge: Gauge, labels: Labels, value: float) -> None:
        child = self.children.get((gauge, labels))
        if child is None:
            child = self.children[gauge, labels] = gauge.labels(*labels)
        child.set(value)


def document_of(model: str, n_columns: int, turn: int) -> dict[str, Any]:
    """An evaluation in which every number depends on the turn."""
    columns = {}
    for index in range(n_columns):
        share = (index * 37 + turn * 11 + 1) % 997 / 997
        columns[f"column_{index}"] = {
            "role": "input",
            "verdict": VERDICTS[(index + turn) % 3],
            "statistics": {name: share / (k + 1) for k, name in enumerate(STATISTICS)},
            "pvalue": share**9,
            "pvalue_threshold": 0.01 * (turn + 1),
            "effect": share - 0.1,
            "effective_rows": 1000 * share,
            "missing_ratio": share / 7,
            "unseen_ratio": share / 11,
            "out_of_range_ratio": share / 13,
            "invalid_ratio": share / 17,
            "rows": 1000 + index + turn,
        }
    return {
        "model": model,
        "window": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z", "size": "1h"},
        "evaluated_at": "2026-01-01T01:00:05Z",
        "provisional": False,
        "rows": 1000 + turn,
        "verdict": "drifted",
        "calibration": "iid",
        "false_alarms_per_30d": None,
        "budget_per_30d": None,
        "columns": columns,
    }


def check_same(ours: Ours, theirs: Theirs, series: int) -> None:
    """Both say the same of every column, and ours nothing else of columns."""
    said = [
        {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(side.render().decode())
            for sample in family.samples
            if "column" in sample.labels
        }
        for side in (ours, theirs)
    ]
    if len(said[0]) != series or said[0] != said[1]:
        sys.exit("WRONG ANSWER: the two documents differ")


if __name__ == "__main__":
    sys.exit(main())
