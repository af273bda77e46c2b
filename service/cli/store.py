"""`driftline store`: copies and checks of the database, and copies from one kind of store to another."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Table

from service.cli.options import output_console, plain, shown
from service.cli.progress import progress_bar
from service.errors import DeclarationError

if TYPE_CHECKING:
    from service.storage.sqlite.inspecting import StoreContents

__all__ = ["store"]

EXIT_DAMAGED: Final = 2
_KIB: Final = 1024
_NO_FILE: Final = (
    "wanted a file. A Redis is backed up by its own means (its RDB or AOF files), or by `driftline store copy` into a file, "
    "which can be backed up and checked"
)


def _file(_context: click.Context, _parameter: click.Parameter, value: str) -> Path:
    if "://" in value:
        raise click.BadParameter(_NO_FILE)
    return Path(value)


_store_option = click.option(
    "--store",
    "path",
    callback=_file,
    envvar="DRIFTLINE_STORE_PATH",
    default=Path("driftline.db"),
    show_default=True,
    metavar="FILE",
    help="The database, or the directory that it is in; also DRIFTLINE_STORE_PATH.",
)


@click.group()
def store() -> None:
    """Back up, check and copy the store of a service."""


@store.command()
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path, dir_okay=False))
@_store_option
def backup(*, output: Path, path: Path) -> None:
    """Write a consistent copy of the database to OUT, while services go on writing to it.

    A copy is a database like any other. To restore it, stop the service and serve from the copy: `driftline serve --store
    OUT`; or put it in the place of the old database, and remove that one's -wal and -shm files. Rows that were
    acknowledged after the copy was made are not in it.
    """
    from service.storage.sqlite.inspecting import copy_store  # noqa: PLC0415 - not needed for --help

    database = _database(path)
    if output.exists() and not _replaceable(output, database):
        raise DeclarationError(f"{output}: is there, and is no earlier copy; it is left alone")
    copy_store(database, output)
    click.echo(f"{plain(str(output))}: {output.stat().st_size / _KIB:,.0f} KiB, a copy of {plain(str(database))}")


@store.command()
@_store_option
def check(*, path: Path) -> None:
    """Read all of the database, verify it, and show what is kept of each model.

    Services may have it open. Exit codes: 0 sound, 2 damaged, or not a database of Driftline's.
    """
    from service.storage.sqlite.inspecting import inspect_store  # noqa: PLC0415 - not needed for --help

    database = _database(path)
    contents = inspect_store(database)
    console = output_console()
    console.print(
        f"{shown(str(database))}: schema {contents.version}{_upgrade(contents)}, {_size(contents.size_bytes)}, "
        f"of which {_size(contents.unused_bytes)} free"
    )
    if contents.models:
        _print_models(contents, console)
    deliveries = ", ".join(f"{count:,} {state}" for state, count in sorted(contents.deliveries.items()))
    if deliveries:
        console.print(f"Deliveries: {deliveries}")
    for fault in contents.faults:
        click.echo(plain(fault), err=True)
    if contents.faults:
        click.echo("damaged: serve from the latest copy, or reference and configuration can be uploaded anew", err=True)
        sys.exit(EXIT_DAMAGED)
    console.print("sound")


@store.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--replace", is_flag=True, help="Drop what is in TO before.")
def copy(*, source: str, target: str, replace: bool) -> None:
    """Copy all of a store into another one, from a file to a Redis, back, or within a kind.

    FROM and TO are paths or addresses as `store.path` and `store.url` take them; DRIFTLINE_STORE_PASSWORD and the like hold
    for both. Stop the services that write to FROM first: in the end every row is compared, and a difference is an error.
    A copy that was interrupted is begun anew by the same command; until one is whole no service opens TO.
    """
    import asyncio  # noqa: PLC0415 - not needed for --help

    from service.app.copying import copy_store  # noqa: PLC0415 - not needed for --help

    with ExitStack() as bars:
        copied = asyncio.run(
            copy_store(
                source,
                target,
                os.environ,
                lambda models: bars.enter_context(progress_bar(models, "models")),
                replace=replace,
            )
        )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("what")
    table.add_column("copied", justify="right")
    for name, number in copied.items():
        table.add_row(name, f"{number:,}")
    output_console().print(table)
    click.echo("every row of the copy is as it was")


def _database(path: Path) -> Path:
    from service.settings import StoreSettings  # noqa: PLC0415 - not needed for --help

    return StoreSettings(path=path).database


def _replaceable(output: Path, database: Path) -> bool:
    from service.storage.sqlite.inspecting import is_store  # noqa: PLC0415 - not needed for --help

    if database.exists() and output.samefile(database):
        return False
    try:
        return is_store(output)
    except OSError:
        return False


def _upgrade(contents: "StoreContents") -> str:
    if contents.version == contents.version_known:
        return ""
    return f" (the next start brings it to {contents.version_known})"


def _print_models(contents: "StoreContents", console: Console) -> None:
    from service.windows.times import format_instant  # noqa: PLC0415 - not needed for --help

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    for name in ("versions", "references", "rows", "panes", "counts", "evaluations", "episodes", "open"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("newest row", no_wrap=True)
    for model in contents.models:
        newest_us = model.newest_us
        table.add_row(
            shown(model.model),
            f"{model.versions:,}",
            f"{model.references:,} ({_size(model.reference_bytes)})",
            f"{model.rows:,}",
            f"{model.panes:,}",
            _size(model.counts_bytes),
            f"{model.evaluations:,} ({_size(model.evaluations_bytes)})",
            f"{model.episodes:,}",
            f"{model.episodes_open:,}",
            "" if newest_us is None else format_instant(newest_us - newest_us % 1_000_000),
        )
    console.print(table)


def _size(size_bytes: int) -> str:
    kib = size_bytes / _KIB
    return f"{kib:,.0f} KiB" if kib < 10 * _KIB else f"{kib / _KIB:,.0f} MiB"
