"""A replay: what is known of the model, the log in order, and its chunks one after the other."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
import httpx

from service.cli.chunks import chunks_of, identity_of
from service.cli.fates import Fates, Shown, print_summary, replay_bar
from service.cli.log_order import Log, Surveyed, rows_in_order, survey
from service.cli.options import plain
from service.cli.progress import progress_bar
from service.cli.sending import ModelFacts, RefusedError, Sender
from service.domain.durations import zone_of
from service.errors import DeclarationError
from service.formats import Source, open_source
from service.windows.times import parse_instant

__all__ = ["Wanted", "run_replay"]

_TIME_COLUMN: Final = "timestamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for; see `driftline replay --help`. `rate` is in rows a second, None is as fast as it goes."""

    data: tuple[Path, ...]
    model: str
    version: str | None
    url: str
    key: str | None = field(repr=False)
    rate: float | None
    since: str | None
    until: str | None
    time_column: str | None


def run_replay(wanted: Wanted) -> None:
    """Replay a log, and print what became of its rows.

    Raises
    ------
    DriftlineError
        The data cannot be read, or the service refuses it.
    """
    source = open_source(wanted.data)
    with _client(wanted.url, wanted.key) as client:
        facts = Sender(client, wanted.model, wanted.version).facts()
        if facts is None:
            click.echo("The key may not read the model: times without a zone are put in order as UTC.", err=True)
        log = _log(source, facts, wanted)
        with progress_bar(source.size_bytes) as advance:
            surveyed = survey(log, lambda done: advance("reading times", done))
            identity = identity_of(log, lambda done: advance("fingerprint", done))
        if not surveyed.in_order:
            click.echo("The log is not in the order of its times: it is sorted first, in a temporary file.", err=True)
        version = wanted.version if facts is None else facts.version
        fates = Fates(rows=surveyed.rows, unreadable=surveyed.rejected)
        try:
            with replay_bar(fates) as show:
                sender = Sender(client, wanted.model, version, on_wait=show.waiting)
                _Replay(log=log, surveyed=surveyed, identity=identity, sender=sender, rate=wanted.rate).run(fates, show)
        finally:
            if fates.requests:
                print_summary(fates, " ".join(filter(None, (wanted.model, version, "at", plain(wanted.url)))))
    if not fates.accepted and not fates.duplicates:
        raise RefusedError("no row was taken")


@contextmanager
def _client(url: str, key: str | None) -> Iterator[httpx.Client]:
    try:
        client = Sender.client(url, key)
    except (httpx.InvalidURL, ValueError) as error:
        raise click.UsageError(
            "--url, --key: wanted an address such as http://127.0.0.1:8080, and a key of ASCII"
        ) from error
    with client:
        yield client


def _log(source: Source, facts: ModelFacts | None, wanted: Wanted) -> Log:
    if facts is not None and facts.time_column is None:
        raise DeclarationError(
            "the service does not know which column of this model is the time, and would take the time of receipt; "
            "declare it in the model's configuration: columns: {timestamp: {role: time}}"
        )
    zone = zone_of("UTC" if facts is None else facts.time_zone)
    since_us = None if wanted.since is None else parse_instant(wanted.since, zone)
    until_us = None if wanted.until is None else parse_instant(wanted.until, zone)
    if since_us is not None and until_us is not None and since_us >= until_us:
        raise DeclarationError("--since is not before --until")
    sent_as = None if facts is None else facts.time_column
    column = wanted.time_column or sent_as or _TIME_COLUMN
    return Log(
        source=source,
        time_column=column,
        sent_as=sent_as or column,
        time_zone=zone,
        since_us=since_us,
        until_us=until_us,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Replay:
    log: Log
    surveyed: Surveyed
    identity: str
    sender: Sender
    rate: float | None

    def run(self, fates: Fates, show: Shown) -> None:
        lines = rows_in_order(self.log, self.surveyed, show.sorting)
        began_s = None
        for last_us, chunk in chunks_of(lines, self.identity, fates.leave_out):
            # What sorting took is no rate of the service: time begins with the first request.
            began_s = time.monotonic() if began_s is None else began_s
            if self.rate is not None:
                time.sleep(max(0.0, began_s + fates.sent / self.rate - time.monotonic()))
            fates.add(self.sender.send(chunk), chunk.rows, last_us)
            fates.seconds = time.monotonic() - began_s
            show.sent()
