"""A backtest for people."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from service.cli.options import shown
from service.domain.durations import format_duration, parse_duration_s

__all__ = ["print_backtest"]

_NAMED_MAX: Final = 3
_DAY_S: Final = 86_400
_WAYS: Final = {"omnibus": "values", "unseen": "new values"}


def print_backtest(document: Mapping[str, Any], console: Console, zone: ZoneInfo) -> None:
    """Print a `driftline.backtest/1`: the alarms, what would have been told, and the same under rules of thumb."""
    if not document["windows"]:
        console.print("No base window has a row: nothing to try a policy on.")
        return
    whole_days = parse_duration_s(document["base_window"]) >= _DAY_S
    since, until = (_local(document[name], zone, whole_days=whole_days) for name in ("since", "until"))
    console.print(
        f"[bold]{shown(document['model'])}[/] {shown(document['version'])}, {since} to {until}:"
        f" {document['rows']:,} rows in {document['windows']:,} windows of {document['base_window']}"
        f" ({document['days']:,.1f} days)"
    )
    _print_alarms(document, console, zone, whole_days=whole_days)
    _print_told(document, console, zone, whole_days=whole_days)
    _print_comparison(document, console)
    _print_trust(document, console)


def _print_alarms(document: Mapping[str, Any], console: Console, zone: ZoneInfo, *, whole_days: bool) -> None:
    if not document["alarms"]:
        console.print("No alarm.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("alarm", "ended", "tier"):
        table.add_column(name, no_wrap=True)
    table.add_column("false alarms/30d", justify="right")
    table.add_column("in", no_wrap=True)
    table.add_column("columns, strongest first: in which way", overflow="fold")
    for alarm in document["alarms"]:
        table.add_row(
            _local(alarm["opened_at"], zone, whole_days=whole_days),
            "still open" if alarm["ended_at"] is None else _local(alarm["ended_at"], zone, whole_days=whole_days),
            alarm["tier"] or "",
            _number(alarm["false_alarms_per_30d"]),
            "" if alarm["window"] is None else alarm["window"]["size"],
            _columns(alarm),
        )
    console.print(table)


def _columns(alarm: Mapping[str, Any]) -> str:
    parts = [
        " ".join(filter(None, (shown(column["name"]), _WAYS.get(column["evidence"], column["evidence"]), _way(column))))
        for column in alarm["columns"][:_NAMED_MAX]
    ]
    more = alarm["columns_drifted"] - len(parts)
    return ", ".join(parts) + (f" and {more} more" if more else "")


def _way(column: Mapping[str, Any]) -> str | None:
    direction = column["direction"]
    if column["evidence"] == "scale" and direction is not None:
        return "wider" if direction == "up" else "narrower"
    return str(direction) if direction is not None else None


def _print_told(document: Mapping[str, Any], console: Console, zone: ZoneInfo, *, whole_days: bool) -> None:
    totals = document["totals"]
    kinds: dict[str, int] = {}
    for notice in document["notices"]:
        kinds[notice["kind"]] = kinds.get(notice["kind"], 0) + 1
    counted = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    console.print(f"Notices: {totals['notices']}" + (f" ({counted})" if counted else ""))
    assumed = " (a trigger with default settings; none is configured)" if document["triggers_assumed"] else ""
    console.print(f"Retrainings: {totals['retrainings']}{assumed}")
    for told in document["retrainings"]:
        at = _local(told["at"], zone, whole_days=whole_days)
        dry = f" as a dry run: {told['reason']}" if told["dry_run"] else ""
        console.print(f"  {at} at {shown(told['target'])}{dry}")


def _print_comparison(document: Mapping[str, Any], console: Console) -> None:
    totals = document["totals"]
    budget = document["policy"]["false_alarms_per_30d"]
    table = Table(box=None, pad_edge=False, header_style="bold", title="In 30 days", title_justify="left")
    table.add_column("rule", overflow="fold")
    for name in ("alarms", "windows that fire", "alarms, reference", "windows, reference"):
        table.add_column(name, justify="right")
    table.add_row(
        f"Driftline, budget {budget:g}",
        _number(totals["alarms_per_30d"]),
        _number(totals["drifted_windows_per_30d"]),
        _number(document["replayed_false_alarms_per_30d"]),
        "",
    )
    for rule in document["rules_of_thumb"]:
        past = rule["on_the_reference"] or {}
        table.add_row(
            f"{rule['rule']}, a rule of thumb",
            _number(rule["alarms_per_30d"]),
            _number(rule["windows_per_30d"]),
            _number(past.get("alarms_per_30d")),
            _number(past.get("windows_per_30d")),
        )
    console.print(table)
    console.print(
        "On the reference's own windows nothing is wrong: what fires there is false. Ours are replayed with days held out;"
        " rules of thumb see the counts of its groups. Alarms are opened and closed by the same policy for all of them;"
        " without one, each window that fires is a message. All look at base windows of"
        f" {document['base_window']} and columns with {document['policy']['rows_min']} rows or more."
        + _silent(document["rules_of_thumb"], document["windows"]),
        style="dim",
    )


def _silent(rules: Sequence[Mapping[str, Any]], windows: int) -> str:
    looked_at = min((rule["windows_looked_at"] for rule in rules), default=windows)
    return f" Rules of thumb had nothing to look at in {windows - looked_at:,} of {windows:,} windows." * (
        looked_at < windows
    )


def _print_trust(document: Mapping[str, Any], console: Console) -> None:
    sizes = ", ".join(
        format_duration(scale * parse_duration_s(document["base_window"])) for scale in document["scales"]
    )
    console.print(f"Calibration: {document['calibration']}. Evaluated together: {sizes}.")
    if document["calibration"] == "iid":
        console.print(
            "Without it p-values take rows for independent: on seasonal or dependent traffic there are too many alarms,"
            " and no budget is kept.",
            style="dim",
        )
    if document["advice"] is not None:
        console.print(f"[yellow]To be verified:[/] {document['advice']}.")


def _local(text: str, zone: ZoneInfo, *, whole_days: bool) -> str:
    local = datetime.fromisoformat(text).astimezone(zone)
    return local.strftime("%Y-%m-%d" if whole_days else "%Y-%m-%d %H:%M")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}" if value < 100 else f"{value:.0f}"  # noqa: PLR2004 - three digits
