"""`driftline backtest`: the alarms that a policy would have raised on a log."""

from pathlib import Path

import click
import msgspec

from service.cli.backtest_tables import print_backtest
from service.cli.backtesting import backtested, counted, read_proposal
from service.cli.options import named, output_console
from service.cli.progress import progress_bar
from service.domain.durations import zone_of
from service.formats import open_source
from service.registry.reference_file import read_reference
from service.windows.times import parse_instant

__all__ = ["backtest"]


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--reference", "reference_path", required=True, type=click.Path(path_type=Path), help="Reference file.")
@click.option(
    "--policy",
    "policy_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="policy.yaml: `policy:`, `triggers:` and `scales:` as in the configuration of a model.",
)
@click.option(
    "--budget", type=click.FloatRange(0, 1000, min_open=True), metavar="B", help="False alarms that 30 days may have."
)
@click.option(
    "--time-column", metavar="T", help="Column with the event time.  [default: the reference's, or timestamp]"
)
@click.option("--since", metavar="T", help="Take rows from this time on.")
@click.option("--until", metavar="T", help="Take rows before this time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def backtest(
    *,
    data: tuple[Path, ...],
    reference_path: Path,
    policy_path: Path | None,
    budget: float | None,
    time_column: str | None,
    since: str | None,
    until: str | None,
    as_json: bool,
) -> None:
    """Try a policy on the log in DATA: which alarms it would have raised, and those of rules of thumb.

    Exit codes: 0 done, whatever was found; 2 wrong usage or unreadable input; 70 internal error.
    """
    reference = read_reference(reference_path)
    proposal = read_proposal(policy_path).with_budget(budget)
    zone = zone_of(reference.time_zone)
    source = open_source(data)
    with progress_bar(source.size_bytes) as advance:
        log = counted(
            source,
            reference,
            time_column=time_column,
            since_us=None if since is None else parse_instant(since, zone),
            until_us=None if until is None else parse_instant(until, zone),
            on_progress=lambda done: advance("reading", done),
        )
    with progress_bar(len(log.counts), unit="windows") as advance:
        document = backtested(log, reference, proposal, lambda done: advance("evaluating", done))
    if as_json:
        click.echo(msgspec.json.encode(document))
    else:
        print_backtest(document, output_console(), zone)
    if log.ignored:
        click.echo(f"Ignored, not in the reference: {named(log.ignored)}", err=True)
    if log.counts.errors:
        click.echo(f"Warning: could not be counted: {named(sorted(log.counts.errors))}", err=True)
    if log.rejected:
        click.echo(f"Warning: {log.rejected:,} rows could not be read, or had no readable time", err=True)
