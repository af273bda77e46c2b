"""The tables, in Markdown, and what the product's row is held to."""

from collections.abc import Sequence

import numpy as np
from drifts import TRIVIAL
from results import Row, SettingResult, overall
from scoring import Mean, share_interval

__all__ = ["OURS", "detection_by_drift", "detection_overall", "false_alarms", "floors", "markdown"]

OURS = "ours"
"""Name of the row that the floors are for."""

BUDGET = 1.0  # notices in 30 days, the product's default
NOTICES_MAX = 1.5  # times the budget; the 99 % lower bound must not be above
DETECTION_MIN = 0.70


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a table with its columns aligned: the first to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: Sequence[str]) -> str:
        first, *others = cells
        padded = [first.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(others, widths[1:], strict=True))]
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(header), line(ruler), *map(line, rows)])


def false_alarms(result: SettingResult) -> str:
    """Every rule as it is, on traffic without drift."""
    facts = sorted({name for row in result.default.values() for name in row.facts})
    header = [
        "rule, default",
        "hours per 1000",
        "notices / 30 d",
        "99 % interval",
        "lower bound",
        "s.e.",
        "trivial",
        "chance",
    ]
    rows = []
    for name, row in result.default.items():
        rate = row.notices
        low, high = rate.interval()
        trivial = f"{row.detected(TRIVIAL).mean():.2f}" if TRIVIAL in row.drifts else "-"
        cells = [name, f"{1000 * row.false_alarms.count / (row.hours * len(row.replicates)):.1f}", f"{rate.value:.2f}"]
        cells += [f"{low:.2f} .. {high:.2f}", f"{rate.lower():.2f}", _error(rate.error), trivial, f"{row.chance:.2f}"]
        rows.append(cells + [_mean(row.facts[fact]) if fact in row.facts else "-" for fact in facts])
    return markdown([*header, *facts], rows)


def detection_by_drift(result: SettingResult, *, equal: bool) -> str:
    """Share found within 24 hours and median hours, drift by drift."""
    rows = result.equal if equal else result.default
    drifts = next(iter(rows.values())).drifts
    lines = []
    for name, row in rows.items():
        cells = [f"{row.detected(drift).mean():.2f} / {_hours(row.delays(drift))}" for drift in drifts]
        lines.append([name, *cells, _mean(row.detection)])
    return markdown(["equal false alarms" if equal else "default", *drifts, "mean"], lines)


def detection_overall(results: Sequence[SettingResult], *, equal: bool) -> str:
    """Mean share found within 24 hours, setting by setting."""
    tables = [result.equal if equal else result.default for result in results]
    lines = []
    for name in tables[0]:
        rows = [table[name] for table in tables]
        lines.append([name, *(_mean(row.detection) for row in rows), _mean(overall(rows))])
    lines.sort(key=lambda cells: cells[-1], reverse=True)
    return markdown(
        ["equal false alarms" if equal else "default", *(result.setting for result in results), "mean"], lines
    )


def floors(results: Sequence[SettingResult], averaged: Sequence[SettingResult]) -> list[tuple[str, bool]]:
    """What the product's row is held to, and whether each is met; nothing without such a row."""
    said: list[tuple[str, bool]] = []
    for result in results:
        row = result.default.get(OURS)
        if row is None:
            return []
        low, limit = row.notices.lower(), NOTICES_MAX * BUDGET
        said.append((f"{result.setting}: notices / 30 d, lower bound {low:.2f} <= {limit:.2f}", low <= limit))
        if TRIVIAL in row.drifts:
            said.append(_trivial(result.setting, row))
    if averaged:
        means = {name: overall([result.equal[name] for result in averaged]) for name in averaged[0].equal}
        ours = means.pop(OURS)
        best = max(means, key=lambda name: means[name].value)
        said.append((f"detection {_mean(ours)} >= {DETECTION_MIN:.2f}", ours.value >= DETECTION_MIN))
        said.append((f"detection above the best other, {best}: {_mean(means[best])}", ours.value > means[best].value))
    return said


def _trivial(setting: str, row: Row) -> tuple[str, bool]:
    found = row.detected(TRIVIAL)
    low, high = share_interval(int(found.sum()), found.size, 0.99)
    share = f"{found.mean():.2f}, 99 % interval {low:.2f} .. {high:.2f}"
    return f"{setting}: trivial shift alarms {share}; by chance {row.chance:.2f}", low <= row.chance


def _error(error: float) -> str:
    return "-" if np.isnan(error) else f"{error:.2f}"


def _mean(mean: Mean) -> str:
    return f"{mean.value:.2f}" if np.isnan(mean.error) else f"{mean.value:.2f} +- {mean.error:.2f}"


def _hours(delays: np.ndarray) -> str:
    median = np.median(np.where(np.isnan(delays), np.inf, delays))
    return f"{median:.0f}" if np.isfinite(median) else "-"
