"""The end of the demo: the model's prediction, each month of 2012 against the same month of 2011, without a service."""

from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path

from rich.console import Console

from service.cli.checking import WHOLE, CheckRequest, check_data
from service.domain.durations import zone_of
from service.formats import Source, open_source
from service.references.build import BuildRequest, build_reference
from service.references.declare import Declarations, read_declarations
from service.references.infer import Overrides
from service.windows.times import parse_instant

__all__ = ["print_months"]

_MONTHS = 12
_COLUMN = "prediction"


def print_months(console: Console) -> None:
    """Print the excess PSI of the prediction by month, and what it means."""
    console.print("\n[bold]The model's prediction, each month of 2012 against the same month of 2011[/]\n")
    with as_file(files("service.demo")) as folder, console.status("comparing months"):
        excess = _excess(folder)
    cells = [f"{month:02}: {value:+.3f}" for month, value in enumerate(excess, start=1)]
    half = _MONTHS // 2
    console.print(f"excess PSI by month  {'  '.join(cells[:half])}\n{'':19}  {'  '.join(cells[half:])}")
    console.print(
        f"At most {max(excess):.3f}: compared in season, what the model says has not drifted. Rentals have: the service "
        "grew by half and more, the predictions did not follow, and their error tripled. Only labels can show that."
    )


def _excess(folder: Path) -> list[float]:
    source = open_source([folder / "bike_hourly.csv.gz"])
    declarations = read_declarations(folder / "columns.yaml")
    return [_compared(source, declarations, _span(2011, month), _span(2012, month)) for month in range(1, _MONTHS + 1)]


def _span(year: int, month: int) -> tuple[str, str]:
    return f"{year}-{month:02}-01", f"{year}-{month + 1:02}-01" if month < _MONTHS else f"{year + 1}-01-01"


def _compared(source: Source, declarations: Declarations, past: tuple[str, str], now: tuple[str, str]) -> float:
    zone = zone_of(declarations.time_zone)
    names = [name for name, column in declarations.columns.items() if name != _COLUMN and column.role is None]
    request = BuildRequest(
        model="bikes",
        version="2011",
        declarations=declarations,
        overrides=Overrides(ignore=names),
        window="1d",
        since_us=parse_instant(past[0], zone),
        until_us=parse_instant(past[1], zone),
        created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        provenance={},
    )
    built = build_reference(source, request, lambda _stage, _done: None)
    span = CheckRequest(window=WHOLE, since_us=parse_instant(now[0], zone), until_us=parse_instant(now[1], zone))
    (evaluation,) = check_data(source, built.reference, span).evaluations()
    return evaluation.columns[_COLUMN].statistics["psi_excess"] or 0.0
