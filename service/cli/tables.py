"""Evaluations for people."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import chain
from typing import Final
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from service.cli.options import shown
from service.domain import Calibration, ColumnEvaluation, Evaluation, Verdict
from service.evaluation.document import Overall

__all__ = ["STYLES", "print_evaluations", "summary_row", "windows_table"]

VERDICTS: Final[tuple[Verdict, ...]] = ("stable", "drifted", "undecided")
STYLES: Final[Mapping[Verdict, str]] = {"stable": "green", "drifted": "red", "undecided": "yellow"}

_REASONS = {
    "no_rows": "no rows",
    "too_few_rows": "too few rows",
    "few_reference_rows": "the reference has too few rows",
    "empty_reference": "the reference has no value",
    "constant_reference": "unchanged, but the reference is constant: nothing to compare with",
    "short_reference": "the reference has too few windows as long as this",
    "varied": "windows of the reference differ so much that 0.5 standard deviations would not show",
    "error": "error",
}
_EVIDENCE = {
    "omnibus": "",
    "location": "",
    "scale": "spread",
    "shape": "shape",
    "categories": "",
    "missing": "missing",
    "invalid": "invalid",
    "unseen": "new values",
}
_CALIBRATIONS: Final[Mapping[Calibration, str]] = {
    "iid": "p-values take rows for independent. On seasonal or dependent traffic drifted windows are reported too often.",
    "collecting": "p-values take rows for independent until the traffic has shown how much windows differ.",
    "calibrated": "p-values know how much windows of the reference differ; how often such a window would raise a false alarm"
    " was not tried.",
    "verified": "p-values know how much windows of the reference differ, and its replay kept to the budget.",
}
_NAMED_MAX = 3
_DISTANCES = (("psi", "psi"), ("excess", "psi_excess"), ("ks", "ks"), ("js", "js_distance"))
_WIDE = 100
_PVALUE_SHOWN_MIN = 1e-300


def print_evaluations(evaluations: Iterable[Evaluation], overall: Overall, console: Console, zone: ZoneInfo) -> None:
    """Print one window in detail, or many in a line each, then what the verdict rests on.

    Parameters
    ----------
    evaluations : iterable of Evaluation
        In time order, watched by `overall`.
    overall : Overall
    console : Console
    zone : ZoneInfo
        Whose wall clock windows are printed in.
    """
    waiting = iter(evaluations)
    first, second = next(waiting), next(waiting, None)
    if second is None:
        _print_columns(first, console, zone)
    else:
        _print_windows(chain([first, second], waiting), console, zone)
    text = f" ({_REASONS[overall.reason]})" if overall.reason else ""
    console.print(f"Verdict: [bold {STYLES[overall.verdict]}]{overall.verdict}[/]{text}")
    console.print(f"Calibration {first.calibration}: {_CALIBRATIONS[first.calibration]}", style="dim")


def summary_row(evaluation: Evaluation, zone: ZoneInfo) -> tuple[str, str, str, str, str]:
    """Window, rows, verdict, number of drifted columns and their names, as text."""
    drifted = _drifted(evaluation)
    named = ", ".join(f"{shown(name)} {_change(column)}" for name, column in drifted[:_NAMED_MAX])
    more = f" and {len(drifted) - _NAMED_MAX} more" if len(drifted) > _NAMED_MAX else ""
    why = _REASONS[evaluation.reason] if evaluation.reason else named + more
    style = STYLES[evaluation.verdict]
    return (
        _window_text(evaluation, zone),
        f"{evaluation.rows:,}",
        f"[{style}]{evaluation.verdict}[/]",
        f"{len(drifted)}/{len(evaluation.columns)}",
        why,
    )


def windows_table() -> Table:
    """Empty table for `summary_row`."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("window", "left"), ("rows", "right"), ("verdict", "left"), ("drifted", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("strongest first: excess PSI", overflow="fold")
    return table


def _print_windows(evaluations: Iterable[Evaluation], console: Console, zone: ZoneInfo) -> None:
    table = windows_table()
    verdicts: Counter[Verdict] = Counter()
    often: Counter[str] = Counter()
    names: list[str] = []
    for evaluation in evaluations:
        table.add_row(*summary_row(evaluation, zone))
        verdicts[evaluation.verdict] += 1
        often.update(name for name, _ in _drifted(evaluation))
        names = list(evaluation.columns)
    console.print(table)
    counted = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS if verdicts[verdict])
    console.print(f"{verdicts.total()} windows: {counted}")
    if often:
        never = [name for name in names if not often[name]]
        by_column = ", ".join(f"{shown(name)} {n}" for name, n in often.most_common())
        console.print(f"Drifted windows by column: {by_column}")
        console.print(f"Never drifted: {', '.join(map(shown, never)) or 'none'}")


def _print_columns(evaluation: Evaluation, console: Console, zone: ZoneInfo) -> None:
    console.print(
        f"[bold]{evaluation.model}[/] {evaluation.version}, {_window_text(evaluation, zone)}, {evaluation.rows:,} rows"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("column", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    # In a narrow terminal the explanation is worth more than a fourth distance.
    distances = _DISTANCES if console.width >= _WIDE else _DISTANCES[:2]
    for name in (*(title for title, _ in distances), "p-value", "missing"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what moved most", overflow="fold")
    order = {"drifted": 0, "undecided": 1, "stable": 2}
    for name, column in sorted(
        evaluation.columns.items(), key=lambda item: (order[item[1].verdict], -(item[1].effect or 0.0))
    ):
        table.add_row(
            shown(name),
            f"[{STYLES[column.verdict]}]{column.verdict}[/]",
            *(_digits(column.statistics[key]) for _, key in distances),
            _pvalue_text(column.pvalue),
            "" if column.missing_ratio is None else f"{column.missing_ratio:.1%}",
            shown(_explanation(column)),
        )
    console.print(table)
    _print_lines(evaluation, console)


def _print_lines(evaluation: Evaluation, console: Console) -> None:
    """What had to be passed, and by how much it was."""
    tested = [column for column in evaluation.columns.values() if column.pvalue is not None]
    lines = [column.pvalue_threshold for column in tested if column.pvalue_threshold is not None]
    if lines:
        effect = tested[0].effect_threshold
        console.print(
            f"A column has drifted when p-value <= {min(lines):.2g} and the effect is over {effect} of excess PSI."
        )
    if evaluation.false_alarms_per_30d is not None:
        console.print(
            f"Such evidence, or stronger, comes by chance {evaluation.false_alarms_per_30d:.2g} times in 30 days;"
            f" {evaluation.budget_per_30d:g} may be a false alarm."
        )


def _explanation(column: ColumnEvaluation) -> str:
    if column.error:
        return column.error
    if column.reason:
        return _REASONS[column.reason]
    moved = column.moved[0] if column.moved else None
    where = f"{moved.bin}: {moved.reference:.1%} -> {moved.current:.1%}" if moved else ""
    if column.evidence in ("missing", "invalid", "unseen"):
        ratio = {"missing": column.missing_ratio, "invalid": column.invalid_ratio, "unseen": column.unseen_ratio}
        share = ratio[column.evidence]
        now = "" if share is None else f" now {share:.1%}"
        return f"{_EVIDENCE[column.evidence]}{now} ({column.direction})" + (f"; {where}" if where else "")
    return f"{where} ({column.direction})" if column.direction else where


def _change(column: ColumnEvaluation) -> str:
    effect = "" if column.effect is None else f"{column.effect:.2f}"
    return " ".join(filter(None, (effect, _EVIDENCE.get(column.evidence or "", ""), column.direction)))


def _drifted(evaluation: Evaluation) -> list[tuple[str, ColumnEvaluation]]:
    drifted = [(name, column) for name, column in evaluation.columns.items() if column.verdict == "drifted"]
    return sorted(drifted, key=lambda item: -(item[1].effect or 0.0))


def _pvalue_text(pvalue: float | None) -> str:
    if pvalue is None:
        return ""
    return f"{pvalue:.2g}" if pvalue >= _PVALUE_SHOWN_MIN else f"<{_PVALUE_SHOWN_MIN:.0e}"


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _window_text(evaluation: Evaluation, zone: ZoneInfo) -> str:
    window = evaluation.window
    if window.start_us is None or window.end_us is None:
        return "all rows"
    whole_days = window.size.endswith("d")
    start, end = (_local_text(us, zone, whole_days=whole_days) for us in (window.start_us, window.end_us))
    return f"{start} to {end}"


def _local_text(us: int, zone: ZoneInfo, *, whole_days: bool) -> str:
    local = datetime.fromtimestamp(us / 1e6, zone)
    return local.strftime("%Y-%m-%d" if whole_days else "%Y-%m-%d %H:%M")
