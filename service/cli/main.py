"""`driftline`: the commands and what they have in common."""

import io
import os
import sys
import traceback
from importlib import import_module
from typing import Final

import click

from service.cli.options import plain
from service.errors import DriftlineError

__all__ = ["cli", "main"]

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_INTERNAL = 70  # EX_SOFTWARE of sysexits.h: a crash must not look like drift


# Modules are imported when their command is: help and completion must not wait for numpy.
_COMMANDS: Final = {
    "backtest": "The alarms that a policy would have raised on a log.",
    "check": "Compare data with a reference; for CI and notebooks.",
    "config": "Check a configuration, make keys.",
    "demo": "The main job on shipped data, with a service of its own.",
    "reference": "Build references from training data.",
    "replay": "Stream a log into a running service.",
    "serve": "Run the service.",
    "store": "Back up and check the database of a service.",
    "target": "Test the targets of webhooks.",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"service.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="driftline", prog_name="driftline")
def cli() -> None:
    """Drift monitoring for models in production: exact statistics from counts."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without the letter must not stop the work
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`| head`). Python would try to flush again at exit, and leave with a code of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_USAGE
    except OSError as error:
        click.echo(f"Error: {error.strerror}", err=True)  # such as a full disk behind standard output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_USAGE
    sys.exit(code)


def _run() -> int:
    # Not cli.main(): it leaves with 1 when the reader of a pipe has gone, and 1 means drift.
    try:
        with cli.make_context("driftline", sys.argv[1:]) as context:
            cli.invoke(context)
    except click.exceptions.Exit as left:
        return left.exit_code
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else EXIT_INTERNAL
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except DriftlineError as error:
        click.echo("Error: " + "\n".join(map(plain, str(error).split("\n"))), err=True)
        return EXIT_USAGE
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - the last line of defence
        traceback.print_exc()
        click.echo("Error: internal error; this is a fault of driftline, not a verdict on the data", err=True)
        return EXIT_INTERNAL
    return 0
