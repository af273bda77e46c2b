"""`driftline check`: one-shot comparison for CI and notebooks, no server."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
import numpy as np

from detectors.arrays import Counts
from detectors.reference import Reference, reference_id
from service.cli.options import output_console, shown
from service.cli.progress import progress_bar
from service.cli.tables import print_evaluations
from service.domain import Evaluation, Window
from service.errors import DeclarationError
from service.evaluation.counting import WindowCounts
from service.evaluation.document import check_document, overall
from service.evaluation.evaluate import Evaluator
from service.references.declare import zone_of
from service.references.file import read_reference
from service.references.readers import Source, open_source
from service.references.rows import Span, timed_rows
from service.windows.times import format_duration, parse_duration_s, parse_instant, window_end, window_starts

__all__ = ["Checked", "check", "check_data"]

EXIT_CODES = {"stable": 0, "drifted": 1, "undecided": 3}
WHOLE = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Evaluations of a file, in time order, and what was left out."""

    evaluations: list[Evaluation]
    rejected: int
    ignored: list[str]


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--reference", "reference_path", required=True, type=click.Path(path_type=Path), help="Reference file.")
@click.option(
    "--time-column", metavar="T", help="Column with the event time.  [default: the reference's, or timestamp]"
)
@click.option("--since", metavar="T", help="Take rows from this time on.")
@click.option("--until", metavar="T", help="Take rows before this time.")
@click.option("--window", default=WHOLE, show_default=True, metavar="D", help="all, or a window such as 1h, 1d, 7d.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--fail-on", type=click.Choice(["drift", "never"]), default="drift", show_default=True)
def check(
    *,
    data: tuple[Path, ...],
    reference_path: Path,
    time_column: str | None,
    since: str | None,
    until: str | None,
    window: str,
    as_json: bool,
    fail_on: str,
) -> None:
    """Compare DATA with a reference.

    Exit codes: 0 stable, 1 drifted, 2 wrong usage or unreadable input, 3 undecided (no window had enough rows), 70
    internal error. With --fail-on never, 1 and 3 become 0.
    """
    reference = read_reference(reference_path)
    zone = zone_of(reference.time_zone)
    source = open_source(data)
    with progress_bar(source.size_bytes) as advance:
        checked = check_data(
            source,
            reference,
            window=window,
            time_column=time_column,
            since_us=None if since is None else parse_instant(since, zone),
            until_us=None if until is None else parse_instant(until, zone),
            on_progress=lambda done: advance("reading", done),
        )
    if as_json:
        document = check_document(checked.evaluations, reference_id(reference), checked.rejected)
        click.echo(msgspec.json.encode(document))
    else:
        print_evaluations(checked.evaluations, output_console(), zone)
    if checked.ignored:
        click.echo(f"Ignored, not in the reference: {', '.join(map(shown, checked.ignored))}", err=True)
    if checked.rejected:
        click.echo(f"Warning: {checked.rejected:,} rows could not be read, or had no readable time", err=True)
    verdict, _ = overall(checked.evaluations)
    sys.exit(0 if fail_on == "never" else EXIT_CODES[verdict])


def check_data(
    source: Source,
    reference: Reference,
    *,
    window: str,
    time_column: str | None,
    since_us: int | None,
    until_us: int | None,
    on_progress: Callable[[int], None] | None = None,
) -> Checked:
    """Compare data with a reference, window by window.

    Parameters
    ----------
    source : Source
    reference : Reference
    window : str
        `all`, or a duration.
    time_column : str, optional
    since_us, until_us : int, optional
        From and before; microseconds since the epoch.
    on_progress : callable, optional
        Called with the bytes of input read so far.

    Returns
    -------
    Checked

    Raises
    ------
    DeclarationError
        The window does not fit the reference, or times are asked for that the data does not have.
    InputError
        The data cannot be read.
    """
    zone = zone_of(reference.time_zone)
    size_s = None if window == WHOLE else _window_size_s(window, reference)
    times_asked = size_s is not None or since_us is not None or until_us is not None
    time_column = _time_column(source, reference, time_column, needed=times_asked)
    span = Span(time_column=time_column, time_zone=zone, since_us=since_us, until_us=until_us)
    counts = WindowCounts(reference)
    rejected = 0
    first_us: int | None = None
    last_us: int | None = None
    for some in timed_rows(source, span, None, on_progress):
        rejected += some.rejected
        if some.times_us is not None and some.rows:
            first_us = min(int(some.times_us.min()), first_us) if first_us is not None else int(some.times_us.min())
            last_us = max(int(some.times_us.max()), last_us) if last_us is not None else int(some.times_us.max())
        if size_s is None or some.times_us is None:
            starts_us = np.zeros(some.rows, dtype=np.int64)
        else:
            starts_us = window_starts(some.times_us, size_s, zone)
        counts.add(some.columns, some.rows, starts_us)
    evaluator = Evaluator(reference)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    evaluations = []
    for start_us, rows, window_counts in counts.windows() or [(0, 0, _no_counts(reference))]:
        if size_s is not None and rows:
            where = Window(start_us=start_us, end_us=window_end(start_us, size_s, zone), size=format_duration(size_s))
        else:
            whole = since_us if since_us is not None else first_us, until_us if until_us is not None else last_us
            where = Window(start_us=whole[0], end_us=whole[1], size=window)
        evaluations.append(evaluator.evaluate(window_counts, rows, where, now, counts.errors))
    return Checked(evaluations=evaluations, rejected=rejected, ignored=sorted(counts.ignored))


def _no_counts(reference: Reference) -> Counts:
    return Counts(np.zeros(reference.layout.n_bins_total, dtype=np.int64))


def _window_size_s(window: str, reference: Reference) -> int:
    size_s = parse_duration_s(window)
    base_s = parse_duration_s(reference.window)
    if reference.blocks is not None and size_s % base_s:
        raise DeclarationError(
            f"--window {window}: not a whole multiple of the reference's base window, {reference.window}"
        )
    return size_s


def _time_column(source: Source, reference: Reference, named: str | None, *, needed: bool) -> str | None:
    """The time column: as named, or the reference's, or `timestamp`, when the data has it."""
    candidates = [named] if named else [*([reference.time_column] if reference.time_column else []), "timestamp"]
    present = next((set(batch.columns) for batch in source.batches() if batch.rows), set())
    found = next((name for name in candidates if name in present), None)
    if found is None and (named or needed):
        raise DeclarationError(f"no time column in the data: wanted {' or '.join(map(repr, candidates))}")
    return found
