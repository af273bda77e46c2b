"""Every metric there is: name, type, labels, unit and what it means. HELP, TYPE and UNIT lines come from here.

Names are those of the Prometheus text format; OpenMetrics calls the family of a counter by its name without `_total`, and
that of an info by its name without `_info`. Labels that may be missing from a series (`segment`, where it is all of the
traffic) are listed too.
"""

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["CATALOGUE", "PROCESS_METRICS", "Metric"]

_WINDOW = ("model", "version", "segment", "window")
_COLUMN = (*_WINDOW, "column", "role")
_VERSION = ("model", "version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One family of series."""

    name: str
    type: Literal["gauge", "counter", "histogram", "info"] = "gauge"
    help: str
    labels: tuple[str, ...] = ()
    unit: Literal["seconds", "ratio", "bytes"] | None = None


CATALOGUE: Final = (
    # Columns of the latest evaluation of a window.
    Metric(name="driftline_drift_statistic", labels=(*_COLUMN, "statistic"), help="Statistic of a column."),
    Metric(name="driftline_drift_pvalue", labels=_COLUMN, help="p-value of a column under no change."),
    Metric(
        name="driftline_drift_pvalue_threshold",
        labels=_COLUMN,
        help="A column has drifted when its p-value is not above this and its effect is large enough.",
    ),
    Metric(name="driftline_drift_effect", labels=_COLUMN, help="Size of the change, as excess PSI. May be negative."),
    Metric(
        name="driftline_drift_effective_rows", labels=_COLUMN, help="Independent rows that the window's rows are worth."
    ),
    Metric(
        name="driftline_column_verdict",
        labels=(*_COLUMN, "verdict"),
        help="1 for the verdict of a column (stable, drifted, undecided), 0 for the others.",
    ),
    Metric(name="driftline_column_missing_ratio", labels=_COLUMN, unit="ratio", help="Share of rows without a value."),
    Metric(
        name="driftline_column_unseen_ratio",
        labels=_COLUMN,
        unit="ratio",
        help="Share of rows with a category that the reference has never had.",
    ),
    Metric(
        name="driftline_column_out_of_range_ratio",
        labels=_COLUMN,
        unit="ratio",
        help="Share of rows below the minimum or above the maximum of the reference.",
    ),
    Metric(
        name="driftline_column_invalid_ratio",
        labels=_COLUMN,
        unit="ratio",
        help="Share of rows with a value of the wrong type.",
    ),
    Metric(name="driftline_column_rows", labels=_COLUMN, help="Rows with a value."),
    # The latest evaluation of a window.
    Metric(
        name="driftline_window_verdict",
        labels=(*_WINDOW, "verdict"),
        help="1 for the verdict of the window (stable, drifted, undecided), 0 for the others.",
    ),
    Metric(name="driftline_window_rows", labels=_WINDOW, help="Rows of the window."),
    Metric(name="driftline_window_columns_drifted", labels=_WINDOW, help="Columns that have drifted."),
    Metric(name="driftline_window_columns_evaluated", labels=_WINDOW, help="Columns with a verdict."),
    Metric(
        name="driftline_window_columns_left_out",
        labels=_WINDOW,
        help="Columns without series of their own, for one of the limits columns_max and series_max.",
    ),
    Metric(
        name="driftline_window_start_timestamp_seconds", labels=_WINDOW, unit="seconds", help="Start of the window."
    ),
    Metric(name="driftline_window_end_timestamp_seconds", labels=_WINDOW, unit="seconds", help="End of the window."),
    Metric(
        name="driftline_window_provisional",
        labels=_WINDOW,
        help="1 while rows of the window are still expected: it never feeds the alarm.",
    ),
    Metric(
        name="driftline_last_evaluation_timestamp_seconds",
        labels=_WINDOW,
        unit="seconds",
        help="When the window was evaluated.",
    ),
    Metric(
        name="driftline_false_alarms_per_30d",
        labels=_WINDOW,
        help="False alarms to be expected in 30 days at this strength of evidence. Absent without a calibration.",
    ),
    Metric(
        name="driftline_false_alarm_budget_per_30d",
        labels=_WINDOW,
        help="False alarms that the model may raise in 30 days. Absent without a calibration.",
    ),
    Metric(
        name="driftline_replayed_false_alarms_per_30d",
        labels=_WINDOW,
        help="Alarms in 30 days that the replay of the reference raised. Absent where nothing could be replayed.",
    ),
    Metric(
        name="driftline_calibration_status",
        labels=(*_WINDOW, "status"),
        help="1 for how well p-values are known (verified, calibrated, iid, collecting), 0 for the others.",
    ),
    # Versions of models.
    Metric(
        name="driftline_newest_row_timestamp_seconds",
        labels=_VERSION,
        unit="seconds",
        help="Event time of the newest row.",
    ),
    Metric(
        name="driftline_evaluated_until_timestamp_seconds",
        labels=_VERSION,
        unit="seconds",
        help="End of the last base window that was evaluated.",
    ),
    Metric(name="driftline_stored_rows", labels=_VERSION, help="Rows whose counts are kept."),
    Metric(name="driftline_learning_rows", labels=_VERSION, help="Rows towards a reference, while it is learned."),
    Metric(
        name="driftline_learning_rows_target",
        labels=_VERSION,
        help="Rows that make a reference, while it is learned.",
    ),
    Metric(name="driftline_alert_firing", labels=_VERSION, help="1 while an alert episode is open."),
    Metric(
        name="driftline_budget_exceeded",
        labels=_VERSION,
        help="1 once alarms have come too often for the budget of false alarms. Absent while no budget is watched.",
    ),
    Metric(
        name="driftline_reference_info",
        type="info",
        labels=(*_VERSION, "reference_id"),
        help="The active reference of a version.",
    ),
    Metric(
        name="driftline_reference_activated_timestamp_seconds",
        labels=_VERSION,
        unit="seconds",
        help="When the active reference was activated.",
    ),
    # Limits of all the above.
    Metric(name="driftline_series_exported", help="Series of models in this scrape."),
    Metric(name="driftline_series_limit", help="Series of models that may be exported (limits.series_max)."),
    Metric(name="driftline_series_left_out", help="Series that were left out for that limit."),
    # The service itself.
    Metric(name="driftline_build_info", type="info", labels=("version", "python"), help="What is running."),
    Metric(
        name="driftline_rows_total",
        type="counter",
        labels=("model", "fate"),
        help="Rows by fate: accepted, duplicate, dropped; late ones are among the accepted.",
    ),
    Metric(
        name="driftline_rows_rejected_total",
        type="counter",
        labels=("model", "reason"),
        help="Rows that were not counted, by reason.",
    ),
    Metric(
        name="driftline_ignored_cells_total",
        type="counter",
        labels=("model",),
        help="Values in columns that the reference does not know.",
    ),
    Metric(
        name="driftline_request_duration_seconds",
        type="histogram",
        labels=("route", "status"),
        unit="seconds",
        help="Time to answer a request, by route and class of status (2xx, 4xx, ...).",
    ),
    Metric(
        name="driftline_commit_duration_seconds",
        type="histogram",
        unit="seconds",
        help="Time of one commit to the store.",
    ),
    Metric(name="driftline_commit_rows_total", type="counter", help="Rows committed to the store."),
    Metric(
        name="driftline_evaluation_duration_seconds",
        type="histogram",
        unit="seconds",
        help="Time to evaluate one window.",
    ),
    Metric(
        name="driftline_evaluations_total",
        type="counter",
        labels=("model", "verdict"),
        help="Windows that were evaluated, by verdict.",
    ),
    Metric(
        name="driftline_scrape_duration_seconds", type="histogram", unit="seconds", help="Time to render the metrics."
    ),
    Metric(name="driftline_buffer_rows", help="Rows that wait for a commit."),
    Metric(name="driftline_buffer_rows_limit", help="Rows that may wait; beyond, requests are refused."),
    Metric(name="driftline_buffer_bytes", unit="bytes", help="Bytes that wait for a commit."),
    Metric(
        name="driftline_buffer_limit_bytes", unit="bytes", help="Bytes that may wait; beyond, requests are refused."
    ),
    Metric(
        name="driftline_outbox_deliveries",
        labels=("target", "state"),
        help="Deliveries of notices by state: pending, delivered, dead.",
    ),
    Metric(
        name="driftline_deliveries_total",
        type="counter",
        labels=("target", "outcome"),
        help="Attempts to deliver a notice, by outcome.",
    ),
    Metric(
        name="driftline_store_errors_total",
        type="counter",
        labels=("operation",),
        help="Operations that the store failed, by operation.",
    ),
    Metric(name="driftline_leases_held", help="Leases that this process holds."),
    Metric(name="driftline_sweeps_total", type="counter", help="Rounds of housekeeping in the store."),
    Metric(name="driftline_panes_expired_total", type="counter", help="Panes dropped for their age."),
    Metric(
        name="driftline_idempotency_evicted_total",
        type="counter",
        help="Remembered requests dropped for their number, before their time: a repeat of one would count twice.",
    ),
    # A sidecar's way to the centre.
    Metric(
        name="driftline_upstream_up",
        help="1 if the centre answered when it was last asked, NaN before the first time. Of sidecars only, like all these.",
    ),
    Metric(name="driftline_upstream_pending_rows", help="Rows whose counts the centre does not have yet."),
    Metric(
        name="driftline_upstream_oldest_pending_seconds",
        unit="seconds",
        help="How long the oldest of them has waited; 0 if none waits.",
    ),
    Metric(
        name="driftline_upstream_last_sent_timestamp_seconds",
        unit="seconds",
        help="When the centre last took counts, by its clock; NaN if it never has.",
    ),
    Metric(
        name="driftline_upstream_sent_rows_total",
        type="counter",
        labels=("model",),
        help="Rows whose counts the centre has taken.",
    ),
    Metric(
        name="driftline_upstream_dropped_rows_total",
        type="counter",
        labels=("model",),
        help="Rows that were acknowledged on receipt and lost: the buffer was full, or the centre stayed away.",
    ),
)

PROCESS_METRICS: Final = (
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
)
"""What prometheus-client says of the process, under the names that every exporter uses."""
