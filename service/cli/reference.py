"""`driftline reference build`."""

from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from detectors.reference import Reference, reference_id
from service.calibration.calibrated import SEASON_WORDS, Calibrated
from service.cli.options import column_options, name_option, output_console, shown, split_names
from service.cli.progress import progress_bar
from service.domain.configuration import PolicyConfiguration
from service.domain.durations import zone_of
from service.formats import open_source
from service.references.build import BuildRequest, Built, build_reference
from service.references.declare import Declarations, read_declarations
from service.references.infer import Overrides
from service.references.provenance import provenance_of
from service.registry.reference_file import write_reference
from service.windows.times import format_duration, format_instant, parse_duration_s, parse_instant, window_starts

__all__ = ["build", "print_built", "reference"]

BUDGET_PER_30D = PolicyConfiguration().false_alarms_per_30d  # another one is set in a model's policy


@click.group()
def reference() -> None:
    """Build references from training data."""


@reference.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@name_option("--model", "Name of the model.")
@name_option("--version", "Version of the model.")
@column_options
@click.option("--since", metavar="T", help="Take rows from this time on.")
@click.option("--until", metavar="T", help="Take rows before this time.")
@click.option("--window", default="1h", show_default=True, metavar="D", help="Base window.")
@click.option("--mlflow-run-id", metavar="ID", help="MLflow run that trained the model.  [default: MLFLOW_RUN_ID]")
@click.option(
    "-o",
    "output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; compressed when it ends in .gz.",
)
def build(
    *,
    data: tuple[Path, ...],
    model: str,
    version: str,
    columns: Path | None,
    time_column: str | None,
    outputs: str | None,
    ignore: str | None,
    since: str | None,
    until: str | None,
    window: str,
    mlflow_run_id: str | None,
    output: Path,
) -> None:
    """Make a reference of training DATA: Parquet, CSV, NDJSON or Arrow; files or folders, larger than memory."""
    declarations = read_declarations(columns) if columns else Declarations()
    zone = zone_of(declarations.time_zone)
    size_s = parse_duration_s(window)
    window_starts(np.empty(0, dtype=np.int64), size_s, zone)  # refuses sizes that do not divide a day
    if not output.parent.is_dir():
        raise click.UsageError(f"-o: the folder {output.parent} does not exist")
    source = open_source(data)
    if any(output.exists() and file.path.samefile(output) for file in source.files):
        raise click.UsageError("-o: names a file of the training data")
    request = BuildRequest(
        model=model,
        version=version,
        declarations=declarations,
        overrides=Overrides(time_column=time_column, outputs=split_names(outputs), ignore=split_names(ignore)),
        window=format_duration(size_s),
        since_us=None if since is None else parse_instant(since, zone),
        until_us=None if until is None else parse_instant(until, zone),
        created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        provenance=provenance_of(source.files, data, mlflow_run_id),
    )
    with progress_bar(source.size_bytes) as advance:
        built = build_reference(source, request, advance)
    write_reference(built.reference, output)
    print_built(built, output_console())
    click.echo(f"\nWrote {output} ({output.stat().st_size / 1024:,.0f} KiB)\n{reference_id(built.reference)}")


def print_built(built: Built, console: Console) -> None:
    """Print what was found: columns, kinds, bins, guesses, warnings, calibration."""
    made = built.reference
    console.print(f"Reference of [bold]{made.model}[/] {made.version}: {made.rows:,} rows, {_blocks_text(made)}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("column", "role", "kind", "bins", "groups", "missing", "known by"):
        table.add_column(name, justify="right" if name in ("bins", "groups", "missing") else "left", overflow="fold")
    index_of = {column.name: index for index, column in enumerate(made.columns)}
    for finding in built.findings:
        index = index_of.get(finding.name) if finding.kind else None
        how = finding.note or ("declared" if finding.declared else "guessed")
        how = f"declared; {finding.note}" if finding.declared and finding.note else how
        how = how if finding.declared else f"guess: {how}"
        if index is None:
            table.add_row(shown(finding.name), finding.role, "", "", "", "", how, style="dim")
            continue
        table.add_row(shown(finding.name), finding.role, finding.kind, *_numbers(made, index), how)
    console.print(table)
    for warning in _warnings(built):
        console.print(f"[yellow]Warning:[/] {warning}")
    _print_calibration(made, built.calibration, console)
    if any(not finding.declared for finding in built.findings):
        console.print("Guesses can be overridden: --time-column, --outputs, --ignore, or --columns columns.yaml.")


def _print_calibration(made: Reference, calibration: Calibrated | None, console: Console) -> None:
    if calibration is None:
        console.print("Calibration: iid. P-values take rows for independent, and no rate of false alarms is known.")
        if made.blocks is not None:
            rows = int(np.median(made.blocks.rows))
            console.print(f"Windows of {made.window} have too few rows ({rows:,} as a rule): take a longer --window.")
        console.print("Replayed false alarms: not available for calibration iid.")
        return
    trust = calibration.trust(BUDGET_PER_30D)
    scales = ", ".join(format_duration(scale * calibration.base_s) for scale in calibration.alarm.scales)
    console.print(f"Calibration: {trust.status}, on {trust.windows:,} windows, tested together as {scales}.")
    console.print(f"Season: {SEASON_WORDS[trust.season or 'none']}.")
    if trust.replayed_per_30d is None:
        console.print("Replayed false alarms: not available for so few windows.")
    else:
        console.print(
            f"Replayed false alarms: {trust.replayed_alarms} in {trust.replayed_days:,.1f} days,"
            f" {trust.replayed_per_30d:.2f} in 30 days; budget {BUDGET_PER_30D:g}."
        )
    if trust.advice is not None:
        console.print(f"[yellow]To be verified:[/] {trust.advice}.")


def _numbers(made: Reference, index: int) -> tuple[str, str, str]:
    layout = made.layout
    start, end = layout.offsets[index : index + 2].tolist()
    rows = int(made.counts[start:end].sum())
    missing = int(made.counts[layout.missing[index]]) / rows if rows else 0.0
    return str(layout.value_bins[index]), str(made.group_counts[index]), f"{missing:.1%}"


def _blocks_text(made: Reference) -> str:
    if made.blocks is None:
        return "without time order"
    first, last = (format_instant(int(made.blocks.starts_s[i]) * 1_000_000) for i in (0, -1))
    return f"{made.blocks.starts_s.size:,} windows of {made.window} from {first} to {last} ({made.time_zone})"


def _warnings(built: Built) -> list[str]:
    made = built.reference
    warnings = []
    if built.rejected:
        warnings.append(f"{built.rejected:,} rows could not be read, or had no readable time, and were left out.")
    if made.blocks is None:
        warnings.append("no time column: how much windows differ when nothing is wrong cannot be learned from this.")
    layout = made.layout
    for index, column in enumerate(made.columns):
        start, end = layout.offsets[index : index + 2].tolist()
        counts = made.counts[start:end]
        present = int(counts[:-2].sum())
        name = f"column '{shown(column.name)}'"
        if not present:
            warnings.append(f"{name} has no value: only the share of its missing values can be watched.")
        elif int((counts[:-2] > 0).sum()) == 1:
            warnings.append(f"{name} has a single value: only other values can be told from it.")
        if counts[-1]:
            warnings.append(f"{name}: {int(counts[-1]):,} values are not of its kind and count as invalid.")
        if not made.exact[index] and column.kind == "numeric":
            warnings.append(
                f"{name}: points come from a uniform sample of {made.sample_rows:,} rows; counts are exact."
            )
        elif not made.exact[index]:
            warnings.append(f"{name}: more categories than are kept; the rare ones count as 'other'.")
    return warnings
