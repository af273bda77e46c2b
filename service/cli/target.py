"""`driftline target`: whether notices arrive."""

from pathlib import Path

import click

__all__ = ["target"]


@click.group()
def target() -> None:
    """Test the targets of webhooks."""


@target.command("test")
@click.argument("name")
@click.option(
    "--config",
    required=True,
    envvar="DRIFTLINE_CONFIG",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="driftline.yaml.",
)
def test_(*, name: str, config: Path) -> None:
    """Send a test notice to the target NAME once, signed as every notice is, and show the answer.

    The receiver sees kind `test`, and the model `driftline-test`. Secrets are read as the service reads them. Exit codes:
    0 delivered, 2 not delivered, or a configuration with faults.
    """
    from service.cli.testing_targets import run_test  # noqa: PLC0415 - not needed for --help

    run_test(name, config)
