"""`driftline check`: one-shot comparison for CI and notebooks, no server."""

import sys
from pathlib import Path

import click

from detectors.reference import reference_id
from service.cli.checking import WHOLE, CheckRequest, check_data
from service.cli.options import named, output_console
from service.cli.progress import progress_bar
from service.cli.tables import print_evaluations
from service.domain.durations import zone_of
from service.evaluation.document import Overall, check_chunks
from service.formats import open_source
from service.registry.reference_file import read_reference
from service.windows.times import parse_instant

__all__ = ["check"]

EXIT_CODES = {"stable": 0, "drifted": 1, "undecided": 3}


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
    request = CheckRequest(
        window=window,
        time_column=time_column,
        since_us=None if since is None else parse_instant(since, zone),
        until_us=None if until is None else parse_instant(until, zone),
    )
    source = open_source(data)
    with progress_bar(source.size_bytes) as advance:
        checked = check_data(source, reference, request, lambda done: advance("reading", done))
    overall = Overall()
    evaluations = overall.watched(checked.evaluations())
    if as_json:
        for chunk in check_chunks(evaluations, overall, reference_id(reference), checked.rejected):
            click.echo(chunk, nl=False)
    else:
        print_evaluations(evaluations, overall, output_console(), zone)
    if checked.ignored:
        click.echo(f"Ignored, not in the reference: {named(checked.ignored)}", err=True)
    if checked.rejected:
        click.echo(f"Warning: {checked.rejected:,} rows could not be read, or had no readable time", err=True)
    sys.exit(0 if fail_on == "never" else EXIT_CODES[overall.verdict])
