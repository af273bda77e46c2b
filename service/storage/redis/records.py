"""Steps of a version, and the episodes and alert states that people change by hand.

A step is one script, and one trip to the server. One with an episode or a notice takes two more: such are listed over all
models, so their numbers are drawn first.
"""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from service.ports import AlertChange, EpisodeRow, EvaluationRow, OutboxNotice, Record
from service.storage.redis import drawing, index, keys
from service.storage.redis.outbox import notices_given
from service.storage.redis.server import Given, Server
from service.storage.redis.shrinking import packed_evaluation

__all__ = ["evaluation_given", "put_episode", "record"]


async def record(server: Server, record: Record) -> bool:
    """Write a step, unless something that it relied on has changed."""
    if record.notices:
        await index.enlist(server, "outbox", [record.model])
    number = await drawing.numbers(server, len(record.notices) + len(record.episodes))
    return bool(await server.write("record", keys.model(record.model), _given(record, number)))


async def put_episode(
    server: Server, row: EpisodeRow, alert: AlertChange | None, notices: Sequence[OutboxNotice]
) -> bool:
    """Change an episode by hand, unless it or the alert state has changed."""
    if notices:
        await index.enlist(server, "outbox", [row.model])
    number = await drawing.numbers(server, len(notices) + 1)
    given = {
        **_alert_and_episodes(row.model, alert, [row], number),
        "notices": notices_given(notices, number + 1),
    }
    return bool(await server.write("put_episode", keys.model(row.model), given))


def _given(record: Record, number: int) -> Given:
    return {
        "version": keys.quoted(record.version),
        "epoch": str(record.epoch),
        "was": keys.stamp_bound(record.was_evaluated_until_us, ""),
        "reached": keys.stamp_bound(record.evaluated_until_us, ""),
        **({} if record.fence is None else {"fence": str(record.fence)}),
        "relied_on": [
            {
                "series": keys.series_key(read.series),
                "first": keys.stamp(read.first_us),
                "last": keys.stamp(read.last_us),
                "rows": int(read.rows),
            }
            for read in record.relied_on
        ],
        "cleaned": {keys.stamp(window_us): times for window_us, times in record.cleaned.items()},
        "evaluations": [
            evaluation_given(replace(row, model=record.model, rows=int(row.rows))) for row in record.evaluations
        ],
        **_alert_and_episodes(record.model, record.alert, record.episodes, number),
        "notices": notices_given(record.notices, number + len(record.episodes)),
        "decisions": [{"ended": keys.stamp(end_us), "document": document} for end_us, document in record.decisions],
    }


def evaluation_given(row: EvaluationRow) -> Given:
    """An evaluation as scripts take it."""
    version, size = keys.quoted(row.version), keys.quoted(row.size)
    parts = (version, keys.quoted(row.segment), keys.quoted(row.reference_id), size, keys.stamp(row.start_us))
    return {
        "name": "/".join(parts),
        "end": f"{version}/{keys.stamp(row.end_us)}",
        "size": size,
        "row": packed_evaluation(row),
    }


def _alert_and_episodes(model: str, alert: AlertChange | None, episodes: Sequence[EpisodeRow], number: int) -> Given:
    given: dict[str, object] = {
        "episodes": [
            {
                "id": row.id,
                "revision": row.revision,
                "number": keys.number(number + i),
                "version": keys.quoted(row.version),
                "opened": keys.stamp(row.opened_at_us),
                "open": "1" if row.open else "0",
                "document": msgspec.msgpack.encode(replace(row, model=model)),
            }
            for i, row in enumerate(episodes)
        ]
    }
    if alert is not None:
        key = f"{keys.quoted(alert.version)}/{keys.quoted(alert.segment)}"
        given["alert"] = {"key": key, "revision": alert.revision, "document": alert.document}
    return given
