"""Reading evaluations, alert states, episodes and decisions."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from service.ports import EpisodeRow, EvaluationRow
from service.storage.redis import keys
from service.storage.redis.server import Server
from service.storage.redis.shrinking import unpacked_evaluation

__all__ = ["alert", "decisions", "episode", "episodes", "of_version"]

_END = ":"  # sorts behind all digits


async def of_version(
    server: Server,
    model: str,
    version: str,
    *,
    size: str | None,
    first_us: int | None,
    last_us: int | None,
    limit: int,
) -> Sequence[EvaluationRow]:
    """Whose windows end in (first_us, last_us], latest end first."""
    given: dict[str, object] = {
        "version": keys.quoted(version),
        "first": keys.stamp_bound(None if first_us is None else first_us + 1, ""),
        "last": keys.stamp_bound(None if last_us is None else last_us + 1, _END),
        "limit": limit,
    }
    if size is not None:
        given["size"] = keys.quoted(size)
    return [unpacked_evaluation(row) for row in await server.read("evaluations", keys.model(model), given)]


async def alert(server: Server, model: str, version: str, segment: str) -> tuple[int, bytes] | None:
    """Revision and document of an alert state."""
    field = f"{keys.quoted(version)}/{keys.quoted(segment)}"
    found = await server.command("HGET", f"{keys.model(model)}alerts", field)
    if found is None:
        return None
    revision, _, document = found.partition(b":")
    return int(revision), document


async def episodes(server: Server, models: Sequence[str], limit: int, *, open_only: bool) -> Sequence[EpisodeRow]:
    """Latest first."""
    given = {"open": open_only, "limit": limit}
    found = await server.reads("episodes", [(keys.model(name), given) for name in models])
    rows = sorted(((place, row) for rows in found for place, row in rows), reverse=True)
    return [_episode(row) for _, row in rows[:limit]]


async def episode(server: Server, models: Sequence[str], episode_id: str) -> EpisodeRow | None:
    """One of them."""
    found = await server.commands([("HGET", f"{keys.model(name)}episodes", episode_id) for name in models])
    return next((_episode(row) for row in found if row is not None), None)


async def decisions(
    server: Server, model: str, version: str, first_us: int, last_us: int
) -> Sequence[tuple[int, bytes]]:
    """Of windows that end in (first_us, last_us], in the order they were made."""
    given = {"version": keys.quoted(version), "first": keys.stamp(first_us + 1), "last": keys.stamp(last_us + 1)}
    found = sorted(await server.read("decisions", keys.model(model), given))
    return [(keys.unstamp(end), document) for _, end, document in found]


def _episode(text: bytes) -> EpisodeRow:
    revision, *_, row = text.split(b":", 6)
    return replace(msgspec.msgpack.decode(row, type=EpisodeRow), revision=int(revision))
