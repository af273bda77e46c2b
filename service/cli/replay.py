"""`driftline replay`: a log into a running service, in the order of its event times."""

from pathlib import Path
from typing import Final

import click

from service.cli.options import name_option

__all__ = ["replay"]

_URL: Final = "http://127.0.0.1:8080"


def _rate(_context: click.Context, _parameter: click.Parameter, value: str) -> float | None:
    if value == "max":
        return None
    try:
        rate = float(value)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise click.BadParameter("wanted max, or a number of rows a second above 0")
    return rate


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@name_option("--model", "Name of the model.")
@click.option("--version", metavar="V", help="Version of the model.  [default: the model's default version]")
@click.option("--url", default=_URL, show_default=True, metavar="U", help="Address of the service.")
@click.option(
    "--key",
    envvar="DRIFTLINE_KEY",
    metavar="K",
    help="API key with scope ingest, and read if it may; better in DRIFTLINE_KEY, since others see command lines.",
)
@click.option("--rate", default="max", show_default=True, metavar="N", callback=_rate, help="max, or rows a second.")
@click.option("--since", metavar="T", help="Take rows from this time on.")
@click.option("--until", metavar="T", help="Take rows before this time.")
@click.option("--time-column", metavar="T", help="Column with the event time.  [default: the model's, or timestamp]")
def replay(
    *,
    data: tuple[Path, ...],
    model: str,
    version: str | None,
    url: str,
    key: str | None,
    rate: float | None,
    since: str | None,
    until: str | None,
    time_column: str | None,
) -> None:
    """Stream a log into a running service in the order of its event times.

    DATA is Parquet, CSV, NDJSON or Arrow; files or folders, larger than memory. The same replay again adds nothing: each
    request has an idempotency key made of the contents of the files and the span.

    Exit codes: 0 replayed, 2 wrong usage, unreadable input or refused by the service, 130 interrupted.
    """
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--url: wanted an address such as {_URL}")
    from service.cli.replaying import Wanted, run_replay  # noqa: PLC0415 - not needed for --help

    wanted = Wanted(
        data=data,
        model=model,
        version=version,
        url=url,
        key=key,
        rate=rate,
        since=since,
        until=until,
        time_column=time_column,
    )
    run_replay(wanted)
