"""`driftline config`: check a configuration, make a key, print the schema."""

import json
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

import click
from rich.console import Console
from rich.table import Table

from detectors.reference import reference_id
from service.cli.options import output_console, plain, shown
from service.errors import UnusableReferenceError
from service.registry.reference_file import read_reference
from service.settings import (
    AuthSettings,
    Settings,
    SettingsError,
    VersionSettings,
    fault_in,
    generate_key,
    hash_key,
    load_settings,
    settings_schema,
)
from service.settings.keys import KEY_BYTES

__all__ = ["config", "settings_or_exit"]

EXIT_FAULTY: Final = 2
_ID_SHOWN: Final = 20


@click.group()
def config() -> None:
    """Check a configuration, make keys."""


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(*, file: Path) -> None:
    """Validate FILE and the environment, and name each fault with its line and path.

    Reference files must exist and have the id that is asked for; addresses are not fetched.
    """
    settings = settings_or_exit(file)
    states: dict[tuple[str, str], str] = {}
    unpinned, faults = [], []
    for model, version, reference in _versions(settings):
        try:
            found = _found_id(reference)
        except UnusableReferenceError as error:
            faults.append(fault_in(file, ("models", model, "versions", version, "reference"), str(error)))
            continue
        states[model, version] = _state(reference, found)
        if found is not None and reference.id is None:
            unpinned.append(f"models.{model}.versions.{version} can be pinned: id: {found}")
    if faults:
        _leave(faults)
    _print_summary(settings, states, output_console())
    for line in unpinned:
        click.echo(line)
    click.echo(f"{file}: no faults")


@config.command()
def key() -> None:
    """Make an API key: it is shown once, its hash goes into the configuration."""
    made = generate_key(secrets.token_bytes(KEY_BYTES))
    click.echo(f"key:  {made}\nhash: {hash_key(made)}")
    click.echo("Nobody can show this key again. The hash goes into driftline.yaml, under auth.keys.", err=True)


@config.command()
def schema() -> None:
    """Print the JSON Schema of driftline.yaml, for editors."""
    click.echo(json.dumps(settings_schema(), indent=1))


def settings_or_exit(file: Path | None) -> Settings:
    """Settings of a file and the environment; when they have faults, print them all and leave with 2."""
    try:
        return load_settings(file, os.environ)
    except SettingsError as error:
        _leave(error.faults)


def _leave(faults: Sequence[str]) -> NoReturn:
    for fault in faults:
        click.echo(plain(fault), err=True)
    click.echo(f"{len(faults)} fault{'s' if len(faults) > 1 else ''}", err=True)
    sys.exit(EXIT_FAULTY)


def _versions(settings: Settings) -> Iterator[tuple[str, str, VersionSettings]]:
    for name, model in settings.models.items():
        for version, reference in model.versions.items():
            yield name, version, reference


def _found_id(version: VersionSettings) -> str | None:
    """Id of a reference file; None of what is not a file here."""
    if version.reference is None or version.is_url:
        return None
    found = reference_id(read_reference(Path(version.reference)))
    if version.id not in {None, found}:
        raise UnusableReferenceError(f"{version.reference}: has the id {found}, not the one that is asked for")
    return found


def _state(version: VersionSettings, found: str | None) -> str:
    if version.reference is None:
        return "learns from traffic"
    if found is None:
        return "not fetched" if version.id else "not fetched, not pinned"
    return f"{found[:_ID_SHOWN]}..., {'as asked for' if version.id else 'not pinned'}"


def _print_summary(settings: Settings, states: Mapping[tuple[str, str], str], console: Console) -> None:
    versions = {
        (name, ""): "no version named: learns from traffic"
        for name, model in settings.models.items()
        if not model.versions
    }
    _print_table(
        console,
        ("model", "version", "reference", "told", "retraining by"),
        [
            (
                name,
                version,
                state,
                _names(settings.models[name].notify),
                _names(t.target for t in settings.models[name].triggers),
            )
            for (name, version), state in (versions | dict(states)).items()
        ],
    )
    _print_table(
        console,
        ("target", "preset", "kinds"),
        [(name, target.preset, _names(target.kinds or ("all",))) for name, target in settings.targets.items()],
    )
    if isinstance(settings.auth, AuthSettings):
        _print_table(
            console,
            ("key", "scopes", "models"),
            [
                (key.name, _names(sorted(key.scopes)), _names(sorted(key.models or ("all",))))
                for key in settings.auth.keys
            ],
        )
    access = (
        "everybody may do everything"
        if settings.auth == "none"
        else "by key"
        if settings.auth.keys
        else "no keys: this machine only"
    )
    server = settings.server
    ops = f", health and metrics on {server.ops_address}" if server.ops_address else ""
    console.print(f"API on {shown(server.host)}:{server.port} ({access}){ops}; store {shown(settings.store.place)}")


def _print_table(console: Console, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if rows:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in names:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*map(shown, row))
        console.print(table)
        console.print()


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
