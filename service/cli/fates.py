"""What becomes of the rows of a replay: counted, shown while it runs, and summed up."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from service.cli.options import named, plain
from service.cli.sending import Reply
from service.windows.times import format_instant
from service.windows.zones import US_PER_S

__all__ = ["Fates", "Shown", "print_summary", "replay_bar"]

_REASONS_SHOWN: Final = 5


@dataclass(slots=True, kw_only=True)
class Fates:
    """Numbers of rows, so far.

    Parameters
    ----------
    rows : int
        In the log.
    unreadable : int
        Rows that are left out because they, or their times, cannot be read.
    """

    rows: int
    unreadable: int
    too_long: int = 0
    sent: int = 0
    requests: int = 0
    accepted: int = 0
    refused: int = 0
    late: int = 0
    duplicates: int = 0
    last_us: int | None = None
    seconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    ignored: dict[str, None] = field(default_factory=dict)

    def add(self, reply: Reply, rows: int, last_us: int) -> None:
        """Count the answer to a request."""
        self.sent += rows
        self.requests += 1
        self.last_us = last_us
        if reply.duplicate:
            self.duplicates += rows
            return
        self.accepted += reply.accepted
        self.refused += reply.rejected
        self.late += reply.late
        self.reasons.update(reply.reasons)
        self.ignored |= dict.fromkeys(reply.ignored)

    def leave_out(self) -> None:
        """Count a row that the service would not take for its length."""
        self.too_long += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What moves the bar.

    Parameters
    ----------
    sorting : callable
        Takes the rows that were sorted.
    sent : callable
        A request was answered.
    waiting : callable
        Takes why and for how many seconds the service is left alone.
    """

    sorting: Callable[[int], None]
    sent: Callable[[], None]
    waiting: Callable[[str, float], None]


@contextmanager
def replay_bar(fates: Fates) -> Iterator[Shown]:
    """Show how far the replay has come, on standard error, where somebody watches; gone when done."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(bar_width=20), _Numbers(fates)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("replaying", total=fates.rows)
        yield Shown(
            sorting=lambda done: progress.update(task, description="sorting", completed=done),
            sent=lambda: progress.update(task, description="replaying", completed=fates.sent),
            waiting=lambda why, seconds: progress.update(task, description=f"waiting {seconds:.1f} s: {why}"),
        )


def print_summary(fates: Fates, subject: str) -> None:
    """Say what has become of the rows; what is wrong with some of them goes to standard error."""
    rate = f", {fates.sent / fates.seconds:,.0f} rows/s" if fates.seconds else ""
    click.echo(f"{subject}: {fates.sent:,} of {fates.rows:,} rows in {fates.requests:,} requests{rate}")
    click.echo(
        f"accepted {fates.accepted:,}, refused {fates.refused:,}, late {fates.late:,}, "
        f"duplicates {fates.duplicates:,}, left out {fates.unreadable + fates.too_long:,}"
    )
    if fates.unreadable:
        click.echo(f"Left out: {fates.unreadable:,} rows could not be read, or had no readable time", err=True)
    if fates.too_long:
        click.echo(f"Left out: {fates.too_long:,} rows are longer than the service takes (1 MiB)", err=True)
    for reason, _ in fates.reasons.most_common(_REASONS_SHOWN):
        click.echo(f"Not as wanted: {plain(reason)}", err=True)
    if fates.ignored:
        click.echo(f"Ignored, not in the reference: {named(list(fates.ignored))}", err=True)


class _Numbers(ProgressColumn):
    """Rows, rate, and what has become of the rows."""

    def __init__(self, fates: Fates) -> None:
        super().__init__()
        self._fates = fates

    def render(self, task: Task) -> Text:  # noqa: ARG002 - the signature is rich's
        fates = self._fates
        parts = [f"{fates.sent:,}/{fates.rows:,} rows"]
        if fates.seconds:
            parts.append(f"{fates.sent / fates.seconds:,.0f}/s")
        counts = {"refused": fates.refused, "late": fates.late, "duplicates": fates.duplicates}
        parts += [f"{count:,} {name}" for name, count in counts.items() if count]
        if fates.last_us is not None:
            parts.append(format_instant(fates.last_us - fates.last_us % US_PER_S))
        return Text("  ".join(parts))
