"""What `/metrics` says: read back by parsers that are not ours."""

import copy
import subprocess
import sys
from pathlib import Path

import needs
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from making import counts_of, reference_of
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from service.domain import Window
from service.domain.configuration import MetricsConfiguration
from service.evaluation.document import evaluation_document
from service.evaluation.evaluate import Evaluator
from service.exporter import CATALOGUE, DriftSeries, OwnMetrics, SeriesKey, UpstreamMetrics, VersionFacts, render
from service.exporter.catalogue import PROCESS_METRICS
from service.exporter.exposition import wants_openmetrics
from service.exporter.sticky import sticky_columns
from service.exporter.text import head_of, label_value, labels_of
from service.ports import Swept

GOLDEN = Path(__file__).parent.parent / "golden"
GOLDEN_FILES = {False: GOLDEN / "metrics.prom", True: GOLDEN / "metrics.openmetrics.txt"}
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
KEY = SeriesKey("bikes", "2011", "", "7d")
DEFAULTS = MetricsConfiguration()


def evaluated():
    """A drifted, a stable, a categorical, a broken and an empty column."""
    steps = np.arange(4000)
    columns = {
        "temp": steps * 7919 % 4001 / 4001,
        'hum"id\\ity\n%': steps * 31 % 17 / 17,
        "weather": np.array(["clear", "mist", "rain"])[steps * 5 % 7 % 3],
        "score": steps * 13 % 19 / 19,
        "broken": steps * 3 % 7,
    }
    reference = reference_of(columns, roles={"score": "output"}, blocks=steps // 100 * 3600)
    window = {name: values[:400] for name, values in columns.items()} | {"temp": columns["temp"][:400] ** 2}
    window["score"] = np.full(400, np.nan)
    where = Window(start_us=1_330_923_600_000_000, end_us=1_331_528_400_000_000, size="7d")
    counts = counts_of(reference, window)
    evaluation = Evaluator(reference).evaluate(counts, 400, where, "2026-01-01T00:00:00Z", errors={"broken": "why"})
    return rounded(evaluation_document(evaluation))


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


EVALUATED = evaluated()


def column(pvalue, verdict="stable", **more):
    return copy.deepcopy(EVALUATED["columns"]["temp"]) | {"pvalue": pvalue, "verdict": verdict} | more


def document(columns, **more):
    return EVALUATED | {"columns": columns} | more


def samples_of(drift, **labels):
    """Name and labels to value; each family once, and no sample twice."""
    text = drift.render(openmetrics=False).decode()
    families = list(parse_text(text))
    named = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(named) == len(set(named))
    samples = [(sample.name, frozenset(sample.labels.items()), sample.value) for f in families for sample in f.samples]
    found = {(name, labels): value for name, labels, value in samples}
    assert len(found) == len(samples)
    assert list(parse_openmetrics(drift.render(openmetrics=True).decode() + "# EOF\n"))
    return {key: value for key, value in found.items() if labels.items() <= dict(key[1]).items()}


def named(samples, label="column"):
    return {dict(labels)[label] for _, labels in samples if label in dict(labels)}


def value_of(samples, name, **labels):
    (value,) = [
        value for (found, has), value in samples.items() if found == name and labels.items() <= dict(has).items()
    ]
    return value


def drift_of(*documents, key=KEY, exported=DEFAULTS, series_max=100_000):
    drift = DriftSeries(series_max)
    for each in documents:
        drift.update(key, each, exported)
    return drift


# What an evaluation says


def test_an_evaluation_is_exported_number_by_number():
    samples = samples_of(drift_of(EVALUATED))
    temp = EVALUATED["columns"]["temp"]

    for statistic in DEFAULTS.statistics:
        value = value_of(samples, "driftline_drift_statistic", column="temp", statistic=statistic)
        assert value == temp["statistics"][statistic]
    assert value_of(samples, "driftline_drift_pvalue", column="temp") == temp["pvalue"]
    assert value_of(samples, "driftline_drift_pvalue_threshold", column="temp") == temp["pvalue_threshold"]
    assert value_of(samples, "driftline_drift_effect", column="temp") == temp["effect"]
    assert value_of(samples, "driftline_drift_effective_rows", column="temp") == temp["effective_rows"]
    assert value_of(samples, "driftline_column_verdict", column="temp", verdict="drifted") == 1
    assert value_of(samples, "driftline_column_verdict", column="temp", verdict="stable") == 0
    assert value_of(samples, "driftline_column_missing_ratio", column="score", role="output") == 1
    assert value_of(samples, "driftline_column_unseen_ratio", column="weather") == 0
    assert value_of(samples, "driftline_column_out_of_range_ratio", column="temp") == temp["out_of_range_ratio"]
    assert value_of(samples, "driftline_column_invalid_ratio", column="temp") == 0
    assert value_of(samples, "driftline_column_rows", column="temp") == 400
    assert value_of(samples, "driftline_window_verdict", verdict="drifted") == 1
    assert value_of(samples, "driftline_window_rows") == 400
    assert value_of(samples, "driftline_window_columns_drifted") == 2
    assert value_of(samples, "driftline_window_columns_evaluated") == 4
    assert value_of(samples, "driftline_window_columns_left_out") == 0
    assert value_of(samples, "driftline_window_start_timestamp_seconds") == 1_330_923_600
    assert value_of(samples, "driftline_window_end_timestamp_seconds") == 1_331_528_400
    assert value_of(samples, "driftline_window_provisional") == 0
    assert value_of(samples, "driftline_last_evaluation_timestamp_seconds") == 1_767_225_600
    assert value_of(samples, "driftline_calibration_status", status="iid") == 1
    assert value_of(samples, "driftline_calibration_status", status="verified") == 0


def test_what_was_not_computed_has_no_sample():
    samples = samples_of(drift_of(EVALUATED))
    names = {name for name, _ in samples}

    assert {"driftline_false_alarms_per_30d", "driftline_false_alarm_budget_per_30d"}.isdisjoint(names)
    of_broken = {name for name, labels in samples if dict(labels).get("column") == "broken"}
    assert of_broken == {"driftline_column_verdict", "driftline_column_rows"}
    assert value_of(samples, "driftline_column_verdict", column="broken", verdict="undecided") == 1
    assert "psi" not in named(samples_of(drift_of(EVALUATED), column="score"), "statistic")
    assert "ks" not in named(samples_of(drift_of(EVALUATED), column="weather"), "statistic")


def test_no_number_is_nan_or_infinite():
    odd = column(float("nan"), effect=float("inf"), statistics={"psi": float("-inf"), "ks": 0.5})
    drift = drift_of(document({"x": odd}, false_alarms_per_30d=float("nan")))

    names = {name for name, _ in samples_of(drift)}

    assert {"driftline_drift_pvalue", "driftline_drift_effect", "driftline_false_alarms_per_30d"}.isdisjoint(names)
    assert named(samples_of(drift), "statistic") == {"ks"}


def test_a_calibrated_evaluation_says_its_false_alarms():
    rates = {"false_alarms_per_30d": 0.004, "budget_per_30d": 1.0, "replayed_false_alarms_per_30d": 0.7}
    drift = drift_of(document({}, calibration="verified", provisional=True, **rates))

    samples = samples_of(drift)

    assert value_of(samples, "driftline_false_alarms_per_30d") == 0.004
    assert value_of(samples, "driftline_false_alarm_budget_per_30d") == 1
    assert value_of(samples, "driftline_replayed_false_alarms_per_30d") == 0.7
    assert value_of(samples, "driftline_calibration_status", status="verified") == 1
    assert value_of(samples, "driftline_window_provisional") == 1


def test_a_window_without_times_has_none():
    drift = drift_of(document({}, window={"start": None, "end": None, "size": "1000rows"}))

    assert "driftline_window_start_timestamp_seconds" not in {name for name, _ in samples_of(drift)}


def test_small_and_large_numbers_are_read_back_as_they_were():
    numbers = {"pvalue": 5e-324, "effect": -1.7976931348623157e308, "pvalue_threshold": 0.1 + 0.2}
    samples = samples_of(drift_of(document({"x": column(**numbers)})))

    assert value_of(samples, "driftline_drift_pvalue") == 5e-324
    assert value_of(samples, "driftline_drift_effect") == -1.7976931348623157e308
    assert value_of(samples, "driftline_drift_pvalue_threshold") == 0.1 + 0.2


def test_which_statistics_are_exported_is_a_setting():
    drift = drift_of(EVALUATED, exported=MetricsConfiguration(statistics=("wasserstein", "nonsense")))

    assert named(samples_of(drift), "statistic") == {"wasserstein"}


def test_the_segment_is_a_label_where_there_is_one():
    drift = drift_of(EVALUATED)
    drift.update(KEY._replace(segment="eu"), EVALUATED, DEFAULTS)

    samples = samples_of(drift)

    assert named(samples, "segment") == {"eu"}
    assert len([1 for name, _ in samples if name == "driftline_window_rows"]) == 2


def test_a_later_evaluation_replaces_all_of_the_one_before():
    drift = drift_of(document({"a": column(0.1), "b": column(0.2)}, false_alarms_per_30d=1.0))

    drift.update(KEY, document({"b": column(None)}), DEFAULTS)

    samples = samples_of(drift)
    assert named(samples) == {"b"}
    assert {"driftline_drift_pvalue", "driftline_false_alarms_per_30d"}.isdisjoint(name for name, _ in samples)
    assert drift.series == len(samples) - 3


def test_a_column_that_changes_its_role_is_one_column():
    drift = drift_of(document({"a": column(0.1)}), document({"a": column(0.1, role="output")}))

    assert named(samples_of(drift), "role") == {"output"}


# Versions


def test_facts_of_a_version_are_exported():
    drift = DriftSeries()

    drift.set_model(
        "bikes",
        "2011",
        VersionFacts(
            newest_us=1_500_000_000_250_000,
            evaluated_until_us=1_500_000_000_000_000,
            rows=7,
            firing=True,
            budget_exceeded=False,
            reference_id="sha256:ab",
            activated_at_us=1_400_000_000_000_000,
        ),
    )

    samples = samples_of(drift, model="bikes", version="2011")
    assert value_of(samples, "driftline_newest_row_timestamp_seconds") == 1_500_000_000.25
    assert value_of(samples, "driftline_evaluated_until_timestamp_seconds") == 1_500_000_000
    assert value_of(samples, "driftline_stored_rows") == 7
    assert value_of(samples, "driftline_alert_firing") == 1
    assert value_of(samples, "driftline_budget_exceeded") == 0
    assert value_of(samples, "driftline_reference_info", reference_id="sha256:ab") == 1
    assert value_of(samples, "driftline_reference_activated_timestamp_seconds") == 1_400_000_000
    assert not any("learning" in name for name, _ in samples)


def test_a_version_that_learns_has_no_reference():
    drift = DriftSeries()
    drift.set_model("m", "1", VersionFacts(reference_id="sha256:ab", firing=False))

    drift.set_model("m", "1", VersionFacts(learning_rows=10, learning_rows_target=1000))

    samples = samples_of(drift, model="m")
    assert {name for name, _ in samples} == {"driftline_learning_rows", "driftline_learning_rows_target"}


def test_models_versions_and_windows_can_be_forgotten():
    drift = DriftSeries()
    for model in ("a", "b"):
        for version in ("1", "2"):
            drift.update(SeriesKey(model, version, "", "1h"), EVALUATED, DEFAULTS)
            drift.set_model(model, version, VersionFacts(rows=1))

    drift.remove(SeriesKey("a", "1", "", "1h"))
    drift.remove(SeriesKey("a", "1", "", "1h"))
    assert {name for name, _ in samples_of(drift, model="a", version="1")} == {"driftline_stored_rows"}
    drift.remove_model("a", "1")
    assert named(samples_of(drift, model="a"), "version") == {"2"}
    drift.remove_model("a")
    drift.remove_model("unknown")
    assert named(samples_of(drift), "model") == {"b"}
    drift.remove_model("b")
    assert drift.series == 0
    assert len(samples_of(drift)) == 3


# Caching


def test_nothing_is_made_again_while_nothing_changes():
    drift = drift_of(EVALUATED)
    drift.set_model("m", "1", VersionFacts(rows=1))
    rendered = {openmetrics: drift.render(openmetrics=openmetrics) for openmetrics in (False, True)}

    drift.update(KEY, EVALUATED, DEFAULTS)
    drift.set_model("m", "1", VersionFacts(rows=1))

    assert drift.render(openmetrics=False) is rendered[False]
    assert drift.render(openmetrics=True) is rendered[True]
    drift.set_model("m", "1", VersionFacts(rows=2))
    assert drift.render(openmetrics=True) != rendered[True]


def test_the_order_of_updates_does_not_split_families():
    drift = DriftSeries()
    for turn in range(3):
        for model in ("a", "b", "c"):
            drift.update(SeriesKey(model, "1", "", "1h"), document({"x": column(turn / 10)}), DEFAULTS)

    samples = samples_of(drift)

    assert {value for (name, _), value in samples.items() if name == "driftline_drift_pvalue"} == {0.2}


# Limits


def wide(pvalues, drifted=()):
    return {
        f"c{index}": column(pvalue, "drifted" if index in drifted else "stable") for index, pvalue in enumerate(pvalues)
    }


def test_a_wide_model_exports_the_columns_with_the_smallest_pvalues_and_the_totals():
    drift = drift_of(document(wide([0.5, 0.01, None, 0.2, 1e-9], {4})), exported=MetricsConfiguration(columns_max=2))

    samples = samples_of(drift)

    assert named(samples) == {"c1", "c4"}
    assert value_of(samples, "driftline_window_columns_left_out") == 3
    assert value_of(samples, "driftline_window_columns_drifted") == 1
    assert value_of(samples, "driftline_window_columns_evaluated") == 5


def test_columns_do_not_come_and_go_while_nothing_drifts():
    rng = np.random.default_rng(7)
    first = sticky_columns(wide(rng.random(500)), (), 200)

    kept = first
    for _ in range(50):
        kept = sticky_columns(wide(rng.random(500)), kept, 200)

    assert kept == first


def test_a_drifted_column_displaces_the_one_with_the_largest_pvalue_at_once():
    columns = wide([0.1, 0.9, 0.2, 1e-6], {3})

    assert sticky_columns(columns, ["c0", "c1", "c2"], 3) == ["c0", "c3", "c2"]


def test_among_drifted_columns_only_a_clear_difference_displaces():
    def chosen(new, old):
        return sticky_columns(wide([old, old, new], {0, 1, 2}), ["c0", "c1"], 2)

    assert chosen(1e-7, 1e-4) == ["c0", "c1"]
    assert chosen(1e-8, 1e-4) == ["c0", "c2"]
    assert chosen(0.0, 0.0) == ["c0", "c1"]
    assert chosen(None, 1e-4) == ["c0", "c1"]


def test_a_displaced_column_does_not_come_back_by_itself():
    drifted = sticky_columns(wide([0.1, 0.9, 1e-6], {2}), ["c0", "c1"], 2)

    assert sticky_columns(wide([0.1, 0.001, 0.5]), drifted, 2) == drifted == ["c0", "c2"]


def test_room_is_filled_when_a_column_disappears_or_the_limit_rises():
    columns = wide([0.1, 0.3, 0.2, 0.4])

    assert sticky_columns(columns, ["gone", "c3"], 2) == ["c3", "c0"]
    assert sticky_columns(columns, ["c3"], 3) == ["c3", "c0", "c2"]
    assert sticky_columns(columns, ["c3", "c0", "c1"], 2) == ["c3", "c0"]
    assert sticky_columns(columns, ["c3"], 4) == list(columns)
    assert sticky_columns(columns, ["c3"], 0) == []


@given(
    st.lists(st.tuples(st.none() | st.floats(0, 1), st.booleans()), max_size=12),
    st.lists(st.integers(0, 15), unique=True, max_size=8),
    st.integers(0, 9),
)
def test_what_is_exported_is_bounded_full_and_without_repeats(columns, kept, columns_max):
    named_ = {
        f"c{i}": {"pvalue": p, "verdict": "drifted" if drifted else "stable"} for i, (p, drifted) in enumerate(columns)
    }

    chosen = sticky_columns(named_, [f"c{i}" for i in kept], columns_max)

    assert len(chosen) == len(set(chosen)) == min(columns_max, len(named_))
    assert set(chosen) <= set(named_)
    assert sticky_columns(named_, chosen, columns_max) == chosen


def test_columns_are_left_out_beyond_the_limit_of_the_process():
    drift = drift_of(document(wide([0.5, 0.4, 1e-9, 0.3], {2})), series_max=55)

    samples = samples_of(drift)

    assert named(samples) == {"c2", "c3"}
    assert drift.series == len(samples) - 3 <= 55
    assert value_of(samples, "driftline_series_exported") == drift.series
    assert value_of(samples, "driftline_series_limit") == 55
    assert value_of(samples, "driftline_series_left_out") == 2 * 16
    assert value_of(samples, "driftline_window_columns_left_out") == 2


def test_columns_give_way_to_windows_and_versions():
    drift = drift_of(document(wide([0.5, 0.4])), series_max=60)
    assert len(named(samples_of(drift))) == 2

    drift.update(SeriesKey("other", "1", "", "1h"), document(wide([0.1])), DEFAULTS)

    samples = samples_of(drift)
    assert named(samples) == {"c0"}
    assert named(samples, "model") == {"bikes", "other"}
    assert value_of(samples, "driftline_window_columns_left_out", model="bikes") == 2
    drift.set_model("bikes", "2011", VersionFacts(rows=1, firing=False, newest_us=1, evaluated_until_us=1))
    drift.update(KEY, document(wide([0.5, 0.4])), DEFAULTS)
    samples = samples_of(drift)
    assert value_of(samples, "driftline_stored_rows") == 1
    assert value_of(samples, "driftline_series_left_out") == 32
    assert drift.series == len(samples) - 3 <= 60


def test_beyond_the_limit_nothing_at_all_is_added():
    drift = drift_of(document(wide([0.5])), series_max=10)
    drift.set_model("m", "1", VersionFacts(**dict.fromkeys(["newest_us", "rows", "learning_rows"], 1)))
    drift.set_model("m", "2", VersionFacts(**dict.fromkeys(VersionFacts.__slots__, 1) | {"reference_id": "a"}))

    samples = samples_of(drift)

    assert drift.series == len(samples) - 3 <= 10
    assert value_of(samples, "driftline_series_left_out") > 0
    drift.remove_model("m")
    drift.remove_model("bikes")
    assert value_of(samples_of(drift), "driftline_series_left_out") == 0


def test_series_are_never_more_than_the_limit():
    rng = np.random.default_rng(1)
    drift = DriftSeries(series_max=300)

    for _ in range(300):
        model, size = str(rng.integers(9)), int(rng.integers(9))
        match rng.integers(4):
            case 0:
                drift.set_model(model, "1", VersionFacts(rows=size, firing=True if size > 4 else None))
            case 1 if size > 6:
                drift.remove_model(model)
            case _:
                drift.update(SeriesKey(model, "1", "", "1h"), document(wide(rng.random(size))), DEFAULTS)
        assert drift.series <= 300
    assert drift.series == len(samples_of(drift)) - 3


# Text


ANY_TEXT = st.text(st.characters(codec="utf-8"), min_size=1)


@given(ANY_TEXT)
@example('\\"\n\\n\\\\"')
@example("\r\t \N{LINE SEPARATOR}\x85\x1c}{,=#")
@example("# EOF")
@example("a\0b")
def test_any_label_value_is_read_back(text):
    drift = drift_of(document({text: column(0.5)}), key=KEY._replace(segment=text))

    samples = samples_of(drift)

    assert named(samples) == named(samples, "segment") == {text}


def test_what_is_not_utf8_is_spelt_out():
    assert label_value("a\ud800b") == r"a\\ud800b"
    assert label_value("é\n") == "é\\n"


def test_empty_labels_are_left_out():
    assert labels_of({"model": "m", "segment": "", "window": '"'}) == 'model="m",window="\\""'


def test_heads_follow_the_format():
    info = next(metric for metric in CATALOGUE if metric.name == "driftline_reference_info")
    ratio = next(metric for metric in CATALOGUE if metric.unit == "ratio")
    counter = next(metric for metric in CATALOGUE if metric.type == "counter")

    assert b"# TYPE driftline_reference info\n" in head_of(info, openmetrics=True)
    assert b"# TYPE driftline_reference_info gauge\n" in head_of(info, openmetrics=False)
    assert head_of(ratio, openmetrics=True).endswith(f"# UNIT {ratio.name} ratio\n".encode())
    assert b"UNIT" not in head_of(ratio, openmetrics=False)
    assert b"# TYPE driftline_rows counter\n" in head_of(counter, openmetrics=True)
    assert b"# TYPE driftline_rows_total counter\n" in head_of(counter, openmetrics=False)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        (OPENMETRICS + "; charset=utf-8", True),
        ('application/openmetrics-text; version="1.0.0"', True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=2.0.0", False),
        ("APPLICATION/OpenMetrics-Text", True),
        (PROMETHEUS_3, True),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=nonsense", False),
        ("application/openmetrics-text;q=nan", False),
        ("application/openmetrics-text;q=9", False),
        (";;,=,;q", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
    ],
)
def test_the_format_follows_the_accept_header(accept, openmetrics):
    assert wants_openmetrics(accept) is openmetrics


# The service's own


def own():
    registry = CollectorRegistry()
    return registry, OwnMetrics(registry, "0.1.0")


def told():
    """Own metrics that have been told of everything once."""
    registry, metrics = own()
    metrics.add_model("bikes")
    metrics.add_model("bikes")
    metrics.rows("bikes", "accepted", 100)
    metrics.rows("bikes", "late", 3)
    metrics.rows("bikes", "duplicate", 0)
    metrics.rejected("bikes", {"future": 2, "too_old": 1})
    metrics.ignored_cells("bikes", 5)
    metrics.request("/v1/models/{model}/inferences", 200, 0.002)
    metrics.request("/v1/models/{model}/inferences", 204, 0.02)
    metrics.request("/v1/models/{model}/inferences", 429, 0.0001)
    metrics.committed(100, 0.003)
    metrics.evaluated("bikes", "drifted", 0.004)
    metrics.scraped(0.001)
    metrics.buffer(rows=5, rows_max=1000, waiting_bytes=512, bytes_max=4096)
    metrics.outbox({("ci", "pending"): 2, ("ci", "dead"): 1})
    metrics.delivered("ci", "204")
    metrics.store_error("commit")
    metrics.leases(1)
    metrics.swept(Swept(panes_expired=4, marks_evicted=7))
    return registry, metrics


def own_value(registry, name, **labels):
    return registry.get_sample_value(name, labels)


def test_the_service_counts_what_it_does():
    registry, _ = told()

    assert own_value(registry, "driftline_rows_total", model="bikes", fate="accepted") == 100
    assert own_value(registry, "driftline_rows_total", model="bikes", fate="late") == 3
    assert own_value(registry, "driftline_rows_total", model="bikes", fate="dropped") == 0
    assert own_value(registry, "driftline_rows_rejected_total", model="bikes", reason="future") == 2
    assert own_value(registry, "driftline_ignored_cells_total", model="bikes") == 5
    route = "/v1/models/{model}/inferences"
    assert own_value(registry, "driftline_request_duration_seconds_count", route=route, status="2xx") == 2
    assert own_value(registry, "driftline_request_duration_seconds_count", route=route, status="4xx") == 1
    assert own_value(registry, "driftline_commit_rows_total") == 100
    assert own_value(registry, "driftline_evaluations_total", model="bikes", verdict="drifted") == 1
    assert own_value(registry, "driftline_evaluations_total", model="bikes", verdict="stable") == 0
    assert own_value(registry, "driftline_buffer_limit_bytes") == 4096
    assert own_value(registry, "driftline_outbox_deliveries", target="ci", state="pending") == 2
    assert own_value(registry, "driftline_deliveries_total", target="ci", outcome="204") == 1
    assert own_value(registry, "driftline_store_errors_total", operation="commit") == 1
    assert own_value(registry, "driftline_leases_held") == 1
    assert own_value(registry, "driftline_sweeps_total") == 1
    assert own_value(registry, "driftline_idempotency_evicted_total") == 7


def test_nothing_is_counted_for_a_model_that_was_not_added():
    registry, metrics = own()

    metrics.rows("x", "accepted", 1)
    metrics.rejected("x", {"future": 1})
    metrics.ignored_cells("x", 1)
    metrics.evaluated("x", "stable", 0.1)

    assert not [s for family in registry.collect() for s in family.samples if s.labels.get("model")]
    assert own_value(registry, "driftline_evaluation_duration_seconds_count") == 1


def test_the_counters_of_a_deleted_model_are_removed():
    registry, metrics = told()

    metrics.keep_models(["other"])

    assert {s.labels["model"] for f in registry.collect() for s in f.samples if "model" in s.labels} == {"other"}
    metrics.rows("bikes", "accepted", 1)
    assert own_value(registry, "driftline_rows_total", model="bikes", fate="accepted") is None


def test_reasons_are_bounded():
    registry, metrics = told()

    metrics.rejected("bikes", {f"reason {number}": 1 for number in range(100)})

    reasons = {s.labels["reason"] for f in registry.collect() for s in f.samples if "reason" in s.labels}
    assert len(reasons) == 33
    assert own_value(registry, "driftline_rows_rejected_total", model="bikes", reason="other") == 70


def test_targets_without_deliveries_disappear_from_the_outbox():
    registry, metrics = told()

    metrics.outbox({("ci", "dead"): 3})

    assert own_value(registry, "driftline_outbox_deliveries", target="ci", state="pending") is None
    assert own_value(registry, "driftline_outbox_deliveries", target="ci", state="dead") == 3


# The whole document


def whole():
    """Everything that can be exported, once."""
    registry, _ = told()
    rates = {"false_alarms_per_30d": 0.5, "budget_per_30d": 1.0, "replayed_false_alarms_per_30d": 0.7}
    drift = drift_of(document(EVALUATED["columns"], **rates))
    facts = dict.fromkeys(VersionFacts.__slots__, 1_500_000_000_000_000) | {
        "firing": True,
        "budget_exceeded": False,
        "reference_id": "sha256:ab",
    }
    drift.set_model("bikes", "2011", VersionFacts(**facts))
    upstream = UpstreamMetrics(registry)
    upstream.keep_models(["bikes"])
    upstream.stands(up=True, pending_rows=1, oldest_pending_s=2.0, last_sent_s=1_500_000_000.0)
    return registry, drift


def parsed(accept):
    body, content_type = render(*whole(), accept)
    parse = parse_openmetrics if "openmetrics" in content_type else parse_text
    return list(parse(body.decode()))


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_every_metric_is_in_the_catalogue_with_its_type_help_and_labels(accept):
    families = {family.name: family for family in parsed(accept)}
    found = {}
    for family in families.values():
        for sample in family.samples:
            name = sample.name
            for suffix in ("_bucket", "_sum", "_count"):
                name = name.removesuffix(suffix) if family.type == "histogram" else name
            found.setdefault(name, (family, set()))[1].update(sample.labels)

    assert set(found) == {metric.name for metric in CATALOGUE} | set(PROCESS_METRICS)
    for metric in CATALOGUE:
        family, labels = found[metric.name]
        kind = metric.type if accept else metric.type.replace("info", "gauge")
        assert (family.type, family.documentation) == (kind, metric.help)
        assert labels - {"le"} == set(metric.labels) - {"segment"}
        assert family.unit == (metric.unit or "" if accept else "")


def test_names_and_texts_of_the_catalogue_follow_the_conventions():
    names = [metric.name for metric in CATALOGUE]

    assert len(names) == len(set(names))
    for metric in CATALOGUE:
        assert metric.name.startswith("driftline_")
        assert metric.help.endswith(".")
        assert not set(metric.help) & set('\\\n"')
        assert metric.name.endswith("_total") == (metric.type == "counter")
        assert metric.name.endswith("_info") == (metric.type == "info")
        assert any(metric.name.endswith(f"_{unit}") for unit in ("seconds", "ratio", "bytes")) == bool(metric.unit)
        assert metric.unit is None or metric.name.endswith(metric.unit)


def test_the_content_type_says_the_format():
    assert render(*whole(), None)[1] == "text/plain; version=0.0.4; charset=utf-8"
    body, content_type = render(*whole(), OPENMETRICS)
    assert content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body.endswith(b"\n# EOF\n")
    assert body.count(b"# EOF") == 1


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_counters_do_not_say_when_they_were_created(accept):
    assert b"_created" not in render(*whole(), accept)[0]


def test_promtool_finds_nothing_to_say():
    promtool = needs.program("promtool", "prometheus")
    body, _ = render(*whole(), None)

    checked = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, check=False)

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


class Steady:
    """A registry without what differs between machines."""

    def __init__(self, registry):
        self.registry = registry

    def collect(self):
        for family in self.registry.collect():
            if not family.name.startswith(("process_", "driftline_build")):
                yield family


def golden(openmetrics):
    registry, drift = whole()
    return render(Steady(registry), drift, OPENMETRICS if openmetrics else None)[0]


@pytest.mark.parametrize("openmetrics", [False, True])
def test_the_document_is_the_golden_one(openmetrics):
    """Made by `PYTHONPATH=tests:. python tests/service/test_exporter.py`; names may be added, never changed."""
    assert golden(openmetrics).decode() == GOLDEN_FILES[openmetrics].read_text()


if __name__ == "__main__":
    for openmetrics_, path in GOLDEN_FILES.items():
        path.write_bytes(golden(openmetrics_))
    sys.exit()
