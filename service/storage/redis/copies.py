"""Commands that write a row of a copy, as the scripts would have."""

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from service.ports import Delivery, EvaluationRow, OutboxNotice
from service.storage.copying import (
    AlertCopy,
    DecisionCopy,
    DeliveryCopy,
    EpisodeCopy,
    MarkCopy,
    ModelCopy,
    PaneCopy,
    ReferenceCopy,
    Row,
    TurnCopy,
    VersionCopy,
)
from service.storage.redis import keys
from service.storage.redis.counts import pane_key
from service.storage.redis.packing import pack
from service.storage.redis.records import evaluation_given

__all__ = ["written"]

Command: TypeAlias = tuple[str | bytes | int, ...]


def written(key: str, number: int, row: Row) -> Iterator[Command]:  # noqa: C901 - a case a table
    """Commands for a row of the model whose keys begin so; `number` is its place in its table."""
    match row:
        case ModelCopy():
            yield from _model(key, row)
        case ReferenceCopy():
            yield from _reference(key, row)
        case PaneCopy():
            yield from _pane(key, row)
        case VersionCopy():
            yield from _version(key, row)
        case EvaluationRow():
            yield from _evaluation(key, number, row)
        case EpisodeCopy():
            yield from _episode(key, row)
        case DeliveryCopy():
            yield from _delivery(key, row)
        case MarkCopy(mark=mark, at_us=at_us):
            yield "HSET", f"{key}marks", mark.key, pack([mark.digest, mark.answer, keys.stamp(at_us)])[0]
            yield "RPUSH", f"{key}mark_order", mark.key
        case TurnCopy(turn=turn, at_us=at_us):
            yield "HSET", f"{key}turns", turn.sender, keys.number(turn.number) + keys.stamp(at_us)
            yield "ZADD", f"{key}turn_order", at_us, turn.sender
        case AlertCopy():
            field = f"{keys.quoted(row.version)}/{keys.quoted(row.segment)}"
            yield "HSET", f"{key}alerts", field, b"%d:" % row.revision + row.document
        case DecisionCopy():
            name = f"{number:016d}"
            place = f"{keys.quoted(row.version)}/{keys.stamp(row.end_us)}:{name}"
            yield "HSET", f"{key}decisions", name, row.document
            yield "ZADD", f"{key}decision_ends", 0, place
            yield "HSET", f"{key}row", "decisions", number


def _model(key: str, copy: ModelCopy) -> Iterator[Command]:
    row = copy.row
    yield "HSET", f"{key}row", "epoch", row.epoch, "owner", row.owner, "configuration", row.configuration
    yield "HSET", f"{key}row", "made", copy.made
    for activation in row.activations:
        yield "RPUSH", f"{key}activations", msgspec.msgpack.encode(activation)
        yield "SADD", f"{key}activated", activation.reference_id


def _reference(key: str, copy: ReferenceCopy) -> Iterator[Command]:
    yield "RPUSH", f"{key}reference_order", copy.row.id
    yield "HSET", f"{key}references", copy.row.id, msgspec.msgpack.encode(copy.row)
    if copy.document is not None:
        yield "HSET", f"{key}documents", copy.row.id, copy.document


def _pane(key: str, copy: PaneCopy) -> Iterator[Command]:
    pane, series = copy.pane, keys.series_key(copy.series)
    name = pane_key(series, pane.start_us, pane.window_start_us)
    yield "ZADD", f"{key}panes", 0, name
    yield "SADD", f"{key}series", series
    yield "HSET", f"{key}folds", name, 0  # below all numbers that folds draw
    yield "HSET", f"{key}rows", name, pane.rows
    yield "HSET", f"{key}late", name, pane.late
    yield "RPUSH", f"{key}payloads:{name}", *pane.payloads
    if copy.summed:
        yield "SADD", f"{key}summed", name
    if len(pane.payloads) > copy.summed:
        yield "SADD", f"{key}unfolded", name


def _version(key: str, copy: VersionCopy) -> Iterator[Command]:
    version = keys.quoted(copy.version)
    reached = {"newest": copy.newest_us, "advanced": copy.advanced_at_us, "evaluated": copy.evaluated_until_us}
    for name, us in reached.items():
        if us is not None:
            yield "HSET", f"{key}versions", f"{version}/{name}", keys.stamp(us)
    for window_us, times in copy.dirty.items():
        yield "HSET", f"{key}dirty", f"{version}/{keys.stamp(window_us)}", times


def _evaluation(key: str, number: int, row: EvaluationRow) -> Iterator[Command]:
    given, name = evaluation_given(row), f"{number:016d}"
    place = f"{given['end']}:{name}/{given['size']}"
    yield "HSET", f"{key}evaluation_names", given["name"], name
    yield "ZADD", f"{key}evaluation_ends", 0, place
    yield "HSET", f"{key}evaluations", name, pack([given["name"], place, given["row"]])[0]
    yield "HSET", f"{key}row", "evaluations", number


def _episode(key: str, copy: EpisodeCopy) -> Iterator[Command]:
    row, number, opened = copy.row, keys.number(copy.number), keys.stamp(copy.row.opened_at_us)
    until, version = keys.stamp(copy.until_us), keys.quoted(row.version)
    head = ":".join((str(row.revision), number, "1" if row.open else "0", until, version, opened, ""))
    place = f"{opened}{number}/{row.id}"
    yield "HSET", f"{key}episodes", row.id, head.encode() + msgspec.msgpack.encode(row)
    yield "ZADD", f"{key}episode_order", 0, place
    if row.open:
        yield "ZADD", f"{key}episodes_open", 0, place


def _delivery(key: str, copy: DeliveryCopy) -> Iterator[Command]:
    row, number, created = copy.delivery, keys.number(copy.number), keys.stamp(copy.delivery.created_at_us)
    target, order_key, sequence = keys.quoted(row.target), keys.quoted(row.order_key), keys.number(row.sequence)
    updated = keys.stamp(row.updated_at_us)
    fields: dict[str, str | bytes | int] = {
        "target": target,
        "order_key": order_key,
        "sequence": sequence,
        "number": number,
        "created": created,
        "notice": msgspec.msgpack.encode(_notice(row)),
        "state": row.state,
        "attempts": row.attempts,
        "next": keys.stamp(row.next_attempt_us),
        "updated": updated,
        "last": row.last,
        "owner": "",
        "until": "",
    }
    yield "HSET", f"{key}delivery:{row.id}", *(part for field in fields.items() for part in field)
    yield "ZADD", f"{key}delivery_order", 0, f"{created}{number}/{row.id}"
    if row.state == "pending":
        yield "ZADD", f"{key}pending", 0, f"{target}/{order_key}/{sequence}{number}/{row.id}"
    else:
        yield "ZADD", f"{key}delivery_ends", 0, f"{updated}/{row.id}"
    yield "HINCRBY", f"{key}delivery_counts", f"{target}/{row.state}", 1


def _notice(row: Delivery) -> OutboxNotice:
    return OutboxNotice(
        id=row.id,
        target=row.target,
        order_key=row.order_key,
        sequence=row.sequence,
        model=row.model,
        created_at_us=row.created_at_us,
        notice=row.notice,
    )
