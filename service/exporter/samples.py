"""Evaluation documents and facts to sample lines, family by family. Pure.

A number that does not exist has no sample: no zero stands in for what was not computed. Lines are made from labels that the
caller keeps, since escaping and joining them costs more than all the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any, Final, get_args

from service.domain.evaluation import Calibration, Verdict

__all__ = [
    "COLUMN_FAMILIES",
    "VERSION_FAMILIES",
    "WINDOW_FAMILIES",
    "WINDOW_SERIES_MAX",
    "Block",
    "VersionFacts",
    "column_block",
    "column_series_max",
    "version_block",
    "window_block",
]

_VERDICTS: Final[tuple[str, ...]] = get_args(Verdict)
_CALIBRATIONS: Final[tuple[str, ...]] = get_args(Calibration)

_COLUMN_NUMBERS: Final = {
    "driftline_drift_pvalue": "pvalue",
    "driftline_drift_pvalue_threshold": "pvalue_threshold",
    "driftline_drift_effect": "effect",
    "driftline_drift_effective_rows": "effective_rows",
    "driftline_column_missing_ratio": "missing_ratio",
    "driftline_column_unseen_ratio": "unseen_ratio",
    "driftline_column_out_of_range_ratio": "out_of_range_ratio",
    "driftline_column_invalid_ratio": "invalid_ratio",
    "driftline_column_rows": "rows",
}
"""Families that are one number of a column, and its field."""

COLUMN_FAMILIES: Final = ("driftline_drift_statistic", "driftline_column_verdict", *_COLUMN_NUMBERS)

WINDOW_FAMILIES: Final = (
    "driftline_window_verdict",
    "driftline_window_rows",
    "driftline_window_columns_drifted",
    "driftline_window_columns_evaluated",
    "driftline_window_start_timestamp_seconds",
    "driftline_window_end_timestamp_seconds",
    "driftline_window_provisional",
    "driftline_last_evaluation_timestamp_seconds",
    "driftline_false_alarms_per_30d",
    "driftline_false_alarm_budget_per_30d",
    "driftline_replayed_false_alarms_per_30d",
    "driftline_calibration_status",
)
WINDOW_SERIES_MAX: Final = len(WINDOW_FAMILIES) - 2 + len(_VERDICTS) + len(_CALIBRATIONS)

VERSION_FAMILIES: Final = (
    "driftline_newest_row_timestamp_seconds",
    "driftline_evaluated_until_timestamp_seconds",
    "driftline_stored_rows",
    "driftline_learning_rows",
    "driftline_learning_rows_target",
    "driftline_alert_firing",
    "driftline_budget_exceeded",
    "driftline_reference_info",
    "driftline_reference_activated_timestamp_seconds",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFacts:
    """What is known of a model version beside its evaluations; what is not, is None and not exported.

    Parameters
    ----------
    newest_us, evaluated_until_us : int, optional
        Event time of the newest row; end of the last base window that was evaluated.
    rows : int, optional
        Rows whose counts are kept.
    learning_rows, learning_rows_target : int, optional
        While a reference is learned from traffic.
    firing : bool, optional
        Whether an alert episode is open.
    budget_exceeded : bool, optional
        Whether alarms have come too often for the budget, if one is watched.
    reference_id : str, optional
        The active reference.
    activated_at_us : int, optional
        When it was activated.
    """

    newest_us: int | None = None
    evaluated_until_us: int | None = None
    rows: int | None = None
    learning_rows: int | None = None
    learning_rows_target: int | None = None
    firing: bool | None = None
    budget_exceeded: bool | None = None
    reference_id: str | None = None
    activated_at_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Samples that are renewed together: the bytes of each family, in the order of its tuple of families."""

    samples: tuple[bytes, ...]
    series: int


def column_series_max(statistics: Sequence[str]) -> int:
    """Series that one column has at most."""
    return len(_COLUMN_NUMBERS) + len(_VERDICTS) + len(statistics)


def column_block(columns: Iterable[tuple[str, Mapping[str, Any]]], statistics: Sequence[str]) -> Block:
    """Samples of columns.

    Parameters
    ----------
    columns : iterable of (str, mapping)
        Labels as they stand between the braces, and the column of the document.
    statistics : sequence of str
        Those to export.
    """
    of_statistics: list[str] = []
    of_verdicts: list[str] = []
    numbers: list[tuple[list[str], str, str]] = [([], name, field) for name, field in _COLUMN_NUMBERS.items()]
    for labels, column in columns:
        values = column["statistics"]
        for name in statistics:
            value = values.get(name)
            if value is not None and isfinite(value):
                of_statistics.append(f'driftline_drift_statistic{{{labels},statistic="{name}"}} {value}\n')
        of_verdicts += _states("driftline_column_verdict", labels, "verdict", _VERDICTS, column["verdict"])
        for lines, name, field in numbers:
            value = column[field]
            if value is not None and isfinite(value):
                lines.append(f"{name}{{{labels}}} {value}\n")
    return _block((of_statistics, of_verdicts, *(lines for lines, _, _ in numbers)))


def window_block(labels: str, document: Mapping[str, Any]) -> Block:
    """Samples of a window as a whole."""
    verdicts = [column["verdict"] for column in document["columns"].values()]
    window = document["window"]
    numbers = (
        document["rows"],
        verdicts.count("drifted"),
        len(verdicts) - verdicts.count("undecided"),
        _seconds(window["start"]),
        _seconds(window["end"]),
        int(document["provisional"]),
        _seconds(document["evaluated_at"]),
        document["false_alarms_per_30d"],
        document["budget_per_30d"],
        document.get("replayed_false_alarms_per_30d"),
    )
    return _block(
        (
            _states(WINDOW_FAMILIES[0], labels, "verdict", _VERDICTS, document["verdict"]),
            *(_gauge(name, labels, value) for name, value in zip(WINDOW_FAMILIES[1:-1], numbers, strict=True)),
            _states(WINDOW_FAMILIES[-1], labels, "status", _CALIBRATIONS, document["calibration"]),
        )
    )


def version_block(labels: str, reference_label: str, facts: VersionFacts) -> Block:
    """Samples of a model version; `reference_label` is the escaped id of its reference."""
    numbers = (
        _of_us(facts.newest_us),
        _of_us(facts.evaluated_until_us),
        facts.rows,
        facts.learning_rows,
        facts.learning_rows_target,
        None if facts.firing is None else int(facts.firing),
        None if facts.budget_exceeded is None else int(facts.budget_exceeded),
        None if facts.reference_id is None else 1,
        _of_us(facts.activated_at_us),
    )
    labels_of = dict.fromkeys(VERSION_FAMILIES, labels) | {
        "driftline_reference_info": f'{labels},reference_id="{reference_label}"'
    }
    return _block([_gauge(name, labels_of[name], value) for name, value in zip(VERSION_FAMILIES, numbers, strict=True)])


def _block(families: Sequence[Sequence[str]]) -> Block:
    return Block(
        samples=tuple("".join(lines).encode() for lines in families), series=sum(len(lines) for lines in families)
    )


def _gauge(name: str, labels: str, value: float | None) -> list[str]:
    return [f"{name}{{{labels}}} {value}\n"] if value is not None and isfinite(value) else []


def _states(name: str, labels: str, label: str, states: Sequence[str], current: str) -> list[str]:
    return [f'{name}{{{labels},{label}="{state}"}} {int(state == current)}\n' for state in states]


def _seconds(instant: str | None) -> float | None:
    return None if instant is None else datetime.fromisoformat(instant).timestamp()


def _of_us(instant_us: int | None) -> float | None:
    return None if instant_us is None else instant_us / 1e6
