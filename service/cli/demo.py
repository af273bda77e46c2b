"""`driftline demo`: the main job on the shipped data."""

import tempfile
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path

import click
from rich.console import Console

from detectors.reference import Reference
from service.cli.checking import WHOLE, Checked, CheckRequest, check_data
from service.cli.options import output_console
from service.cli.progress import progress_bar
from service.cli.reference import print_built
from service.cli.tables import print_evaluations
from service.domain.durations import zone_of
from service.evaluation.document import Overall
from service.formats import Source, open_source
from service.references.build import BuildRequest, build_reference
from service.references.declare import read_declarations
from service.references.infer import Overrides
from service.references.provenance import provenance_of
from service.registry.reference_file import read_reference, write_reference
from service.windows.times import parse_instant

__all__ = ["demo"]

_TRAINED, _LIVE, _END = "2011-01-01", "2012-01-01", "2013-01-01"
_MONTHS = 12


@click.command()
def demo() -> None:
    """Run the main job on shipped data: a year of real bike rentals as reference, the next year checked against it."""
    console = output_console()
    console.print("[bold]A model of bike rentals, trained on 2011, in production in 2012. Real data, real drift.[/]\n")
    with as_file(files("service.demo")) as folder, tempfile.TemporaryDirectory() as temporary:
        source = open_source([folder / "bike_hourly.csv.gz"])
        path = Path(temporary) / "bikes-2011.json.gz"
        _build(source, folder / "columns.yaml", path, console)
        reference = read_reference(path)
        console.print("\n[bold]The weeks of 2012, each against all of 2011[/]\n")
        weeks = _check(source, reference, _LIVE, _END, "7d")
        overall = Overall()
        print_evaluations(overall.watched(weeks.evaluations()), overall, console, zone_of(reference.time_zone))
        _explain(console)
        console.print("\n[bold]The model's prediction, each month of 2012 against the same month of 2011[/]\n")
        _print_months(source, folder / "columns.yaml", console)
    console.print("\nNext: driftline reference build --help, driftline check --help, README.md")


def _build(source: Source, columns: Path, path: Path, console: Console) -> None:
    with progress_bar(source.size_bytes) as advance:
        built = build_reference(source, _request(source, columns, _TRAINED, _LIVE), advance)
    write_reference(built.reference, path)
    print_built(built, console)


def _request(source: Source, columns: Path, since: str, until: str, only: str | None = None) -> BuildRequest:
    declarations = read_declarations(columns)
    names = [name for name, column in declarations.columns.items() if only not in (None, name) and column.role is None]
    zone = zone_of(declarations.time_zone)
    return BuildRequest(
        model="bikes",
        version="2011",
        declarations=declarations,
        overrides=Overrides(ignore=names),
        window="7d",
        since_us=parse_instant(since, zone),
        until_us=parse_instant(until, zone),
        created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        provenance=provenance_of(source.files, [file.path for file in source.files], None),
    )


def _check(source: Source, reference: Reference, since: str, until: str, window: str) -> Checked:
    zone = zone_of(reference.time_zone)
    with progress_bar(source.size_bytes) as advance:
        request = CheckRequest(window=window, since_us=parse_instant(since, zone), until_us=parse_instant(until, zone))
        return check_data(source, reference, request, lambda done: advance("reading", done))


def _print_months(source: Source, columns: Path, console: Console) -> None:
    excess = []
    for month in range(1, _MONTHS + 1):
        past, now = (
            (f"{year}-{month:02}-01", f"{year}-{month + 1:02}-01" if month < _MONTHS else f"{year + 1}-01-01")
            for year in (2011, 2012)
        )
        built = build_reference(source, _request(source, columns, *past, only="prediction"), lambda _stage, _done: None)
        evaluation = next(_check(source, built.reference, *now, WHOLE).evaluations())
        excess.append(evaluation.columns["prediction"].statistics["psi_excess"] or 0.0)
    cells = (f"{month:02}: {value:+.3f}" for month, value in enumerate(excess, start=1))
    console.print("excess PSI by month  " + "  ".join(cells))
    console.print(
        f"At most {max(excess):.3f}: compared in season, what the model says has not drifted. Rentals have: the service "
        "grew by half and more, the predictions did not follow, and their error tripled. Only labels can show that."
    )


def _explain(console: Console) -> None:
    console.print(
        "\nHow to read this. A week is seven days of one season; 2011 is a whole year. So the weather, and with it the "
        "prediction, differ from the reference in nearly every week: true of the numbers, useless as an alarm. Season is "
        "not drift, and the 24 rows of a holiday are one holiday. The status `iid` says that nothing here has learned how "
        "much weeks differ when all is well. `hour`, whose rows do not depend on the season, stays stable. The week of 29 "
        "October has 36 hours less (hurricane Sandy) and is judged on the rows it has; the two days of 2012 that belong "
        "to weeks of other years are too few rows for a verdict. `heavy_precipitation`, one row in 2011, is too rare to "
        "raise anything."
    )
