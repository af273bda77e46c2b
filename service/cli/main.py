"""`driftline`: the commands and what they have in common."""

import sys
from importlib.metadata import version

import click

from service.cli.check import check
from service.cli.demo import demo
from service.cli.reference import reference
from service.errors import DriftlineError

__all__ = ["cli", "main"]

EXIT_USAGE = 2
EXIT_INTERNAL = 70  # EX_SOFTWARE of sysexits.h: a crash must not look like drift


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("driftline"), prog_name="driftline")
def cli() -> None:
    """Drift monitoring for models in production: exact statistics from counts."""


cli.add_command(reference)
cli.add_command(check)
cli.add_command(demo)


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        code = 130
    except click.ClickException as error:
        error.show()
        code = EXIT_USAGE
    except DriftlineError as error:
        click.echo(f"Error: {error}", err=True)
        code = EXIT_USAGE
    except BrokenPipeError:
        # The reader has gone (`| head`). Python would complain again when it flushes at exit.
        sys.stderr.close()
        code = EXIT_USAGE
    except Exception:  # noqa: BLE001 - the last line of defence
        import traceback  # noqa: PLC0415 - only when all is lost

        traceback.print_exc()
        click.echo("Error: internal error; this is a fault of driftline, not a verdict on the data", err=True)
        code = EXIT_INTERNAL
    sys.exit(code or 0)
