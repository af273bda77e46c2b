"""Steps of a version, and the episodes and alert states that people change by hand.

Evaluations are numbered over all models, which live in different slots: numbers are drawn first, then written with the step.
A reader must not pass a number that is drawn and not written, so it looks no further than the first that is still flying. A
number flies for seconds; a step that lands later is refused and drawn for anew, so readers need not wait for the dead.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from service.errors import StoreUnavailableError
from service.ports import AlertChange, EpisodeRow, EvaluationRow, OutboxNotice, Record
from service.storage.redis import index, keys
from service.storage.redis.outbox import notices_given
from service.storage.redis.server import Given, Server
from service.storage.redis.shrinking import packed_evaluation

__all__ = ["FLIGHT_S", "PATIENCE_S", "evaluation_given", "put_episode", "record"]

FLIGHT_S: Final = 10
"""Longer than a call may take, with all that is tried again."""

PATIENCE_S: Final = 20
"""For so long readers wait; clocks of the servers of a cluster may differ by what lies between."""

_FORGET_S: Final = 3600
_DRAWS_MAX: Final = 3
_NEVER_S: Final = 1 << 50


async def record(server: Server, record: Record) -> bool:
    """Write a step, unless something that it relied on has changed."""
    if record.notices:
        await index.enlist(server, "outbox", [record.model])
    wanted = {
        "epochs": 0,
        "numbers": len(record.notices) + len(record.episodes),
        "sequences": len(record.evaluations),
        "model": record.model,
    }
    for _ in range(_DRAWS_MAX):
        _, sequence, number, second = await server.write("draw", keys.ALL, wanted)
        given = _given(record, sequence, number, second + FLIGHT_S if record.evaluations else _NEVER_S)
        outcome = await server.write("record", keys.model(record.model), given)
        if record.evaluations:
            landed = {"second": str(second), "sequence": str(sequence), "forget_s": _FORGET_S}
            await server.write("landed", keys.ALL, landed)
        if outcome != b"lapsed":
            return bool(outcome == b"written")
    raise StoreUnavailableError("Redis does not answer in time")


async def put_episode(
    server: Server, row: EpisodeRow, alert: AlertChange | None, notices: Sequence[OutboxNotice]
) -> bool:
    """Change an episode by hand, unless it or the alert state has changed."""
    if notices:
        await index.enlist(server, "outbox", [row.model])
    wanted = {"epochs": 0, "numbers": len(notices) + 1, "sequences": 0}
    _, _, number, _ = await server.write("draw", keys.ALL, wanted)
    given = {
        **_alert_and_episodes(row.model, alert, [row], number),
        "notices": notices_given(notices, number + 1),
    }
    return bool(await server.write("put_episode", keys.model(row.model), given))


def _given(record: Record, sequence: int, number: int, lapse_s: int) -> Given:
    return {
        "version": keys.quoted(record.version),
        "epoch": str(record.epoch),
        "was": keys.stamp_bound(record.was_evaluated_until_us, ""),
        "reached": keys.stamp_bound(record.evaluated_until_us, ""),
        "lapse_s": lapse_s,
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
            evaluation_given(replace(row, model=record.model, rows=int(row.rows), sequence=sequence + i))
            for i, row in enumerate(record.evaluations)
        ],
        **_alert_and_episodes(record.model, record.alert, record.episodes, number),
        "notices": notices_given(record.notices, number + len(record.episodes)),
        "decisions": [{"ended": keys.stamp(end_us), "document": document} for end_us, document in record.decisions],
    }


def evaluation_given(row: EvaluationRow) -> Given:
    """An evaluation as scripts take it."""
    version, size, sequence = keys.quoted(row.version), keys.quoted(row.size), keys.number(row.sequence)
    parts = (version, keys.quoted(row.segment), keys.quoted(row.reference_id), size, keys.stamp(row.start_us))
    return {
        "name": "/".join(parts),
        "place": f"{version}/{keys.stamp(row.end_us)}:{sequence}/{size}",
        "sequence": sequence,
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
