"""Counts: adding them, and reading what is folded and what is not, together."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from service.errors import StoreUnavailableError
from service.ports import Commit, Committed, Mark, Pane, Progress, Series
from service.storage.redis import keys
from service.storage.redis.packing import Blob
from service.storage.redis.server import Given, Server

__all__ = ["Known", "commit", "marks", "pane_key", "panes", "progress", "progress_of_all", "rows_by_window"]

_STAMP_CHARS: Final = 20

Known: TypeAlias = dict[str, tuple[Sequence[bytes | None], Sequence[Progress]]]
"""Progress by model, behind what says whether it has changed."""


async def commit(server: Server, commits: Sequence[Commit]) -> Sequence[Committed]:
    """Write each commit that is neither stale nor a duplicate."""
    calls = [(keys.model(one.model), _given(one)) for one in commits]
    answers = await server.writes_apart("commit", calls, [one.rows_id for one in commits])
    errors = [one for one in answers if isinstance(one, StoreUnavailableError)]
    if errors and len(errors) == len(commits):
        raise errors[0]
    return [_committed(one) for one in answers]


async def marks(server: Server, model: str, wanted: Sequence[str]) -> Sequence[Mark]:
    """Those marks that are known."""
    return [_mark(*found) for found in await server.read("marks", keys.model(model), {"keys": list(wanted)})]


async def panes(server: Server, series: Series, first_us: int, last_us: int) -> Sequence[Pane]:
    """Panes that start in [first_us, last_us), in order."""
    found = await server.read("panes", keys.model(series.model), _span(series, first_us, last_us))
    return [
        Pane(
            start_us=keys.unstamp(pane[:_STAMP_CHARS]),
            window_start_us=keys.unstamp(pane[_STAMP_CHARS:]),
            rows=int(rows),
            late=int(late),
            payloads=tuple(payloads),
        )
        for pane, rows, late, payloads in found
    ]


async def rows_by_window(server: Server, series: Series, first_us: int, last_us: int) -> Sequence[tuple[int, int]]:
    """Start and rows of each base window that starts in [first_us, last_us) and has a row."""
    found = await server.read("rows_by_window", keys.model(series.model), _span(series, first_us, last_us))
    by_window: Counter[int] = Counter()
    for window, rows in zip(found[::2], found[1::2], strict=True):
        by_window[keys.unstamp(window)] += int(rows)
    return sorted((start_us, rows) for start_us, rows in by_window.items() if rows > 0)


async def progress(server: Server, model: str) -> Sequence[Progress]:
    """Of every version of a model that has had a row."""
    rows = [_progress(model, row) for row in await server.read("progress", keys.model(model))]
    return sorted(rows, key=lambda row: row.version)


async def progress_of_all(server: Server, models: Sequence[str], known: Known) -> Sequence[Progress]:
    """Of every version of some models; read of those that have changed since they were read last.

    Every write changes a number in the row of its model, which costs the server a twentieth of reading the rest.
    """
    rows = [("HMGET", f"{keys.model(name)}row", "made", "changes") for name in models]
    stamps = dict(zip(models, await server.commands(rows), strict=True))
    changed = [name for name in models if None in stamps[name] or known.get(name, ([], ()))[0] != stamps[name]]
    found = await server.reads("progress", [(keys.model(name), {}) for name in changed])
    for name, versions in zip(changed, found, strict=True):
        known[name] = stamps[name], [_progress(name, row) for row in versions]
    for name in known.keys() - stamps.keys():
        del known[name]
    return sorted((row for name in models for row in known[name][1]), key=lambda row: (row.model, row.version))


def pane_key(series: str, start_us: int, window_start_us: int) -> str:
    """Name of a pane."""
    return f"{series}/{keys.stamp(start_us)}{keys.stamp(window_start_us)}"


def _given(commit: Commit) -> Given:
    turn = commit.turn
    return {
        **({} if turn is None else {"turn": {"sender": turn.sender, "number": keys.number(turn.number)}}),
        "epoch": str(commit.epoch),
        "newest": {keys.quoted(version): keys.stamp(us) for version, us in commit.newest_us.items()},
        "marks": [{"key": mark.key, "digest": mark.digest, "answer": mark.answer} for mark in commit.marks],
        "deltas": [
            {
                "version": keys.quoted(delta.version),
                "pane": pane_key(keys.series_key(delta), delta.pane_start_us, delta.window_start_us),
                "rows": int(delta.rows),
                "late": int(delta.late),
                "payload": Blob(delta.payload),
            }
            for delta in commit.deltas
        ],
    }


def _span(series: Series, first_us: int, last_us: int) -> Given:
    return {"series": keys.series_key(series), "first": keys.stamp(first_us), "last": keys.stamp(last_us)}


def _committed(answer: Any) -> Committed:
    if isinstance(answer, StoreUnavailableError):
        return Committed(status="unavailable", reason=str(answer))
    status, known = answer
    return Committed(status=status.decode(), known=tuple(_mark(*mark) for mark in known))


def _mark(key: bytes, digest: bytes, answer: bytes) -> Mark:
    return Mark(key=key.decode(), digest=digest, answer=answer)


def _progress(model: str, row: Sequence[Any]) -> Progress:
    version, newest, advanced, evaluated, oldest, dirty = row
    return Progress(
        model=model,
        version=unquote(version.decode()),
        newest_us=keys.unstamp(newest),
        advanced_at_us=keys.unstamp(advanced),
        oldest_us=keys.unstamp(oldest),
        evaluated_until_us=None if evaluated is None else keys.unstamp(evaluated),
        dirty={keys.unstamp(window): int(times) for window, times in zip(dirty[::2], dirty[1::2], strict=True)},
    )
