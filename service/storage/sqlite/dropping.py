"""Dropping what is kept no longer, bit by bit: numbers are read outside the write lock, and dropped some at a time."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final

from service.ports import LEARNING, Keeping
from service.storage.sqlite.lane import Lanes

__all__ = ["drop_deleted_models", "drop_deliveries", "evict_marks", "expire", "forget_senders"]

_BATCH: Final = 100  # panes or evaluations of 33 KiB are dropped in 4 ms
_MARKS_BATCH: Final = 1_000

_PANE: Final = "DELETE FROM panes WHERE id = ?"
_DELTA: Final = "DELETE FROM deltas WHERE id = ?"
_EVALUATION: Final = "DELETE FROM evaluations WHERE sequence = ?"
_DECISION: Final = "DELETE FROM decisions WHERE id = ?"
_EPISODE: Final = "DELETE FROM episodes WHERE number = ?"
_SERIES: Final = "DELETE FROM series WHERE id = ?"
_DIRTY: Final = "DELETE FROM dirty WHERE model_id = ? AND version = ? AND window_start_us = ?"
_MARK: Final = "DELETE FROM marks WHERE model_id = ? AND number = ?"
_TURN: Final = "DELETE FROM turns WHERE model_id = ? AND sender = ? AND at_us = ?"
_DELETED_MODEL: Final = "DELETE FROM deleted_models WHERE id = ?"
_DELIVERY: Final = "DELETE FROM deliveries WHERE number = ? AND state <> 'pending'"

# Of deleted models; the series before the model, so that an interrupted round can be taken up again.
_OF_DELETED: Final = (
    (_PANE, "SELECT id FROM panes WHERE series_id IN (SELECT id FROM series WHERE model_id = ?)"),
    (_DELTA, "SELECT id FROM deltas WHERE series_id IN (SELECT id FROM series WHERE model_id = ?)"),
    (_SERIES, "SELECT id FROM series WHERE model_id = ?"),
    (_EVALUATION, "SELECT sequence FROM evaluations WHERE model_id = ?"),
    (_DECISION, "SELECT id FROM decisions WHERE model_id = ?"),
    (_MARK, "SELECT model_id, number FROM marks WHERE model_id = ?"),
    (_DELETED_MODEL, "SELECT id FROM deleted_models WHERE id = ?"),
)

_MODEL: Final = "(SELECT id FROM models WHERE model = ? AND epoch = coalesce(?, epoch))"
_OF_VERSION: Final = f"(SELECT id FROM series WHERE version = ? AND model_id = {_MODEL})"  # noqa: S608 - ours
_OLD_PANES: Final = f"SELECT id FROM panes WHERE series_id IN {_OF_VERSION} AND window_start_us <= ?"  # noqa: S608 - ours
_OLD_DELTAS: Final = f"SELECT id FROM deltas WHERE series_id IN {_OF_VERSION} AND window_start_us <= ?"  # noqa: S608 - ours
_COUNT_OLD: Final = f"""
    SELECT count(*) FROM (
        SELECT series_id, pane_start_us, window_start_us FROM panes
        WHERE series_id IN {_OF_VERSION} AND window_start_us <= ?
        UNION
        SELECT series_id, pane_start_us, window_start_us FROM deltas
        WHERE series_id IN {_OF_VERSION} AND window_start_us <= ?
    )"""  # noqa: S608 - ours
_LEARNED: Final = f"(SELECT id FROM series WHERE version = ? AND reference_id = ? AND model_id = {_MODEL})"  # noqa: S608 - ours
_LEARNED_PANES: Final = f"SELECT id FROM panes WHERE series_id IN {_LEARNED}"  # noqa: S608 - ours
_LEARNED_DELTAS: Final = f"SELECT id FROM deltas WHERE series_id IN {_LEARNED}"  # noqa: S608 - ours
_OLD_DELIVERIES: Final = "SELECT number FROM deliveries WHERE state <> 'pending' AND updated_at_us < ?"
_OLD_DIRTY: Final = f"""
    SELECT model_id, version, window_start_us FROM dirty
    WHERE version = ? AND model_id = {_MODEL} AND window_start_us <= ?"""  # noqa: S608 - ours
_OLD_DECISIONS: Final = (
    (
        _EVALUATION,
        f"""SELECT sequence FROM evaluations
           WHERE version = ? AND model_id = {_MODEL} AND end_us < ?""",  # noqa: S608 - ours
    ),
    (
        _DECISION,
        f"""SELECT id FROM decisions
           WHERE version = ? AND model_id = {_MODEL} AND end_us < ?""",  # noqa: S608 - ours
    ),
    (
        _EPISODE,
        f"""SELECT number FROM episodes
           WHERE version = ? AND model_id = {_MODEL} AND until_us < ? AND NOT open""",  # noqa: S608 - ours
    ),
)

# Two subqueries, because min and max in one would read all of the marks.
_MARKS_SPAN: Final = """
    SELECT (SELECT min(number) FROM marks WHERE model_id = ?1), (SELECT max(number) FROM marks WHERE model_id = ?1)"""
_MARKS_KEPT: Final = "SELECT number FROM marks WHERE model_id = ? AND at_us >= ? ORDER BY number LIMIT 1"
_OLD_TURNS: Final = "SELECT model_id, sender, at_us FROM turns WHERE at_us < ?"
_MANY_TURNS: Final = "SELECT model_id FROM turns GROUP BY model_id HAVING count(*) > ?"
_SURPLUS_TURNS: Final = """
    SELECT model_id, sender, at_us FROM turns WHERE model_id = ? ORDER BY at_us DESC, sender LIMIT -1 OFFSET ?"""


async def drop_deleted_models(lanes: Lanes) -> None:
    """Drop what is large of models that were deleted."""
    for model in await lanes.keeper.read(_found("SELECT id FROM deleted_models")):
        for statement, query in _OF_DELETED:
            await _drop_found(lanes, statement, query, model)


async def expire(lanes: Lanes, keeping: Keeping) -> int:
    """Drop what is older than is kept of a version; how many panes."""
    expired, model = 0, (keeping.model, keeping.epoch)
    if keeping.expire_before_us is not None:
        oldest = (keeping.version, *model, keeping.expire_before_us - keeping.base_window_us)
        ((expired,),) = await lanes.keeper.read(_found(_COUNT_OLD, (*oldest, *oldest)))
        await _drop_found(lanes, _PANE, _OLD_PANES, oldest)
        await _drop_found(lanes, _DELTA, _OLD_DELTAS, oldest)
        await _drop_found(lanes, _DIRTY, _OLD_DIRTY, oldest)  # nobody can evaluate them again
    if keeping.learned:
        learned = (keeping.version, LEARNING, *model)
        await _drop_found(lanes, _PANE, _LEARNED_PANES, learned)
        await _drop_found(lanes, _DELTA, _LEARNED_DELTAS, learned)
    if keeping.evaluations_before_us is not None:
        for statement, query in _OLD_DECISIONS:
            await _drop_found(lanes, statement, query, (keeping.version, *model, keeping.evaluations_before_us))
    return expired


async def evict_marks(lanes: Lanes, before_us: int, number_max: int) -> int:
    """Drop marks that were made before a time, and the oldest beyond a number a model; how many for their number."""
    evicted = 0
    for (model_id,) in await lanes.keeper.read(_found("SELECT id FROM models")):
        first, by_time, last = await lanes.keeper.read(partial(_marks_to_evict, model_id, before_us, number_max))
        await _drop(lanes, _MARK, ((model_id, number) for number in range(first, by_time)))
        evicted += await _drop(lanes, _MARK, ((model_id, number) for number in range(by_time, last)))
    return evicted


async def forget_senders(lanes: Lanes, before_us: int | None, number_max: int) -> int:
    """Forget senders without a turn since a time, and the longest silent beyond a number a model; how many for that."""
    if before_us is not None:
        await _drop_found(lanes, _TURN, _OLD_TURNS, (before_us,))
    surplus = 0
    for (model_id,) in await lanes.keeper.read(_found(_MANY_TURNS, (number_max,))):
        surplus += await _drop_found(lanes, _TURN, _SURPLUS_TURNS, (model_id, number_max))
    return surplus


async def drop_deliveries(lanes: Lanes, before_us: int) -> None:
    """Drop what was delivered or given up before a time."""
    await _drop_found(lanes, _DELIVERY, _OLD_DELIVERIES, (before_us,))


def _marks_to_evict(
    model_id: int, before_us: int, number_max: int, connection: sqlite3.Connection
) -> tuple[int, int, int]:
    """First mark, first that is young enough, and first that is within the number as well."""
    first, last = connection.execute(_MARKS_SPAN, (model_id,)).fetchone()
    if first is None:
        return 0, 0, 0
    # A mark behind a younger one stays: the clock was set back, and one kept too long does no harm.
    kept = connection.execute(_MARKS_KEPT, (model_id, before_us)).fetchone()
    by_time = last + 1 if kept is None else kept[0]
    return first, by_time, max(by_time, last + 1 - number_max)


async def _drop_found(lanes: Lanes, statement: str, query: str, arguments: Sequence[object]) -> int:
    return await _drop(lanes, statement, iter(await lanes.keeper.read(_found(query, arguments))))


async def _drop(lanes: Lanes, statement: str, keys: Iterator[tuple[object, ...]]) -> int:
    dropped = 0
    size = _MARKS_BATCH if statement in {_MARK, _TURN} else _BATCH
    while batch := list(islice(keys, size)):
        dropped += await lanes.writer.write(partial(_drop_batch, statement, batch))
    return dropped


def _found(query: str, arguments: Sequence[object] = ()) -> Callable[[sqlite3.Connection], Sequence[tuple[Any, ...]]]:
    return lambda connection: connection.execute(query, arguments).fetchall()


def _drop_batch(statement: str, keys: Sequence[tuple[object, ...]], connection: sqlite3.Connection) -> int:
    return connection.executemany(statement, keys).rowcount
