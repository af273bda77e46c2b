"""CPU time of candidates that take turns, and the table that holds them to their floors.

CPU seconds of this process, not wall time: other work on the machine slows it less. Candidates take turns, so that a slow
minute hits all of them; the median of the rounds is quoted. Only ratios within one run mean anything.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

__all__ = ["Line", "print_lines", "take_turns"]

_LONG_ENOUGH_S = 0.02  # the clock ticks in nanoseconds; this is against everything else
_SLOW_S = 2.0
_ROUNDS_WHEN_SLOW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One candidate: its figure, how often ours is better, and the ratio that ours must reach (None: no floor)."""

    name: str
    figure: str
    ratios: Sequence[float]
    floor: float | None = None


def take_turns(candidates: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Median CPU seconds a call of each candidate, after one call that makes tables and fills caches."""
    repeats, found = {}, {name: [] for name in candidates}
    for name, run in candidates.items():
        first_s = _cpu_s(run, 1)
        if first_s > _SLOW_S:
            repeats[name] = 1
            found[name].append(first_s)
        else:
            repeats[name] = max(1, math.ceil(_LONG_ENOUGH_S / max(_cpu_s(run, 1), 1e-7)))
    for turn in range(rounds):
        for name, run in candidates.items():
            if not found[name] or found[name][0] <= _SLOW_S or turn < _ROUNDS_WHEN_SLOW - 1:
                found[name].append(_cpu_s(run, repeats[name]))
    return {name: statistics.median(times) for name, times in found.items()}


def print_lines(title: str, figure: str, ratios: Sequence[str], lines: Sequence[Line]) -> None:
    """Print a table; a floor is met when every ratio of the line reaches it."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("candidate")
    for name in (figure, *ratios, "floor"):
        table.add_column(name, justify="right")
    table.add_column("")
    for line in lines:
        cells = [f"{ratio:,.3g}x" if ratio < 1000 else f"{ratio:,.0f}x" for ratio in line.ratios]
        cells += [""] * (len(ratios) - len(cells))
        floor = "" if line.floor is None else f"{line.floor:,g}x"
        table.add_row(line.name, line.figure, *cells, floor, _said(line))
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=130, no_color=True)
    console.print(table)
    console.print()


def _said(line: Line) -> str:
    if line.floor is None:
        return ""
    return "met" if all(ratio >= line.floor for ratio in line.ratios) else "BELOW FLOOR"


def _cpu_s(run: Callable[[], object], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - start) / repeats
