"""Options that several commands share."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.markup import escape

__all__ = ["column_options", "name_option", "named", "output_console", "plain", "shown", "split_names"]

_F = TypeVar("_F", bound=Callable[..., Any])
_NAMED_MAX = 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def name_option(flag: str, text: str) -> Callable[[_F], _F]:
    """Option for the name of a model or a version."""

    def checked(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise click.BadParameter("wanted up to 128 letters, digits, dots, dashes and underscores")
        return value

    return click.option(flag, required=True, metavar=flag[2].upper(), callback=checked, help=text)


def column_options(command: _F) -> _F:
    """Add the options that declare columns."""
    for option in (
        click.option("--ignore", metavar="A,B", help="Columns to leave out."),
        click.option("--outputs", metavar="A,B", help="Columns that are outputs of the model."),
        click.option("--time-column", metavar="T", help="Column with the event time.  [default: timestamp]"),
        click.option(
            "--columns",
            type=click.Path(path_type=Path, dir_okay=False),
            help="columns.yaml: roles, kinds, time zone.",
        ),
    ):
        command = option(command)
    return command


def split_names(text: str | None) -> tuple[str, ...]:
    """Names of a comma-separated option."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def shown(text: str) -> str:
    """Text of the data for a table: no markup of ours, no control characters of anybody's."""
    return escape(plain(text))


def plain(text: str) -> str:
    """Text without control characters, which could drive the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def named(names: Sequence[str]) -> str:
    """Names for a sentence: the first ten, and how many more."""
    more = f" and {len(names) - _NAMED_MAX:,} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(plain(name) for name in names[:_NAMED_MAX]) + more


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Rich would leave with 1, which means drift.
        raise BrokenPipeError


def output_console() -> Console:
    """Console for tables: as wide as the terminal, or in a file or a pipe as `COLUMNS` says, else 120."""
    console = _Console(highlight=False)
    if console.is_terminal:
        return console
    columns = os.environ.get("COLUMNS", "")
    return _Console(highlight=False, width=int(columns) if columns.isdecimal() else 120, no_color=True)
