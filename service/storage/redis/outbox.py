"""Notices on their way out, and targets that want no more.

The deliveries of a model are in its slot, so that a step and its notices are one write. Claiming is done in two steps: what is
due is looked for in every model that has deliveries, and the oldest are claimed where they are, if all still holds.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, cast
from urllib.parse import unquote

import msgspec

from service.ports import Delivery, DeliveryState, OutboxNotice, Settled
from service.storage.redis import drawing, index, keys
from service.storage.redis.server import Given, Server

__all__ = [
    "claim",
    "counts",
    "deliveries",
    "delivery_of",
    "enqueue",
    "notices_given",
    "retry",
    "set_target_disabled",
    "settle",
    "targets_disabled",
]

_TARGETS: Final = f"{keys.ALL}targets_disabled"


def notices_given(notices: Sequence[OutboxNotice], number: int) -> Sequence[Given]:
    """Notices as scripts take them, numbered from a number on."""
    return [
        {
            "id": notice.id,
            "target": keys.quoted(notice.target),
            "order_key": keys.quoted(notice.order_key),
            "sequence": keys.number(notice.sequence),
            "number": keys.number(number + i),
            "created": keys.stamp(notice.created_at_us),
            "notice": msgspec.msgpack.encode(notice),
        }
        for i, notice in enumerate(notices)
    ]


async def enqueue(server: Server, notices: Sequence[OutboxNotice]) -> None:
    """Put notices into the outbox, due at once; those that are there are left alone."""
    if not notices:
        return
    await index.enlist(server, "outbox", (notice.model for notice in notices))
    number = await drawing.numbers(server, len(notices))
    by_model: dict[str, list[Given]] = defaultdict(list)
    for notice, given in zip(notices, notices_given(notices, number), strict=True):
        by_model[notice.model].append(given)
    await server.writes("enqueue", [(keys.model(name), {"notices": given}) for name, given in by_model.items()])


async def claim(server: Server, target: str, owner: str, until_us: int, limit: int) -> Sequence[Delivery]:
    """Pending deliveries of a target that are due, for one owner until a time; oldest first."""
    claimed: list[Delivery] = []
    models = await index.names(server, "outbox")
    while len(claimed) < limit:
        given = {"target": keys.quoted(target), "limit": limit - len(claimed)}
        due = await server.reads("due", [(keys.model(name), given) for name in models])
        chosen = sorted((place, name, key) for name, some in zip(models, due, strict=True) for place, key in some)
        chosen = chosen[: limit - len(claimed)]
        got = await _claim(server, [(name, key) for _, name, key in chosen], owner, until_us)
        claimed += got
        if len(got) == len(chosen):  # else another owner was faster, and there may be more
            break
    return claimed


async def settle(server: Server, owner: str, settled: Sequence[Settled]) -> None:
    """End attempts of an owner whose claims nobody else has taken."""
    given = {
        "owner": owner,
        "settled": [
            {"id": one.id, "state": one.state, "next": keys.stamp(one.next_attempt_us), "last": one.last}
            for one in settled
        ],
    }
    # A delivery does not say in its id which model it is of: every model is asked, and one has it.
    models = await _holders(server, [one.id for one in settled])
    await server.writes("settle", [(keys.model(name), given) for name in models])


async def deliveries(server: Server, state: DeliveryState | None, target: str | None, limit: int) -> Sequence[Delivery]:
    """Latest first."""
    given: dict[str, object] = {"limit": limit}
    if state is not None:
        given["state"] = state
    if target is not None:
        given["target"] = keys.quoted(target)
    models = await index.names(server, "outbox")
    found = await server.reads("deliveries", [(keys.model(name), given) for name in models])
    rows = sorted(((place, row) for rows in found for place, row in rows), reverse=True)
    return [delivery_of(row[1:]) for _, row in rows[:limit]]


async def retry(server: Server, delivery_id: str) -> bool:
    """Make a dead delivery pending again, at once and with all its attempts before it."""
    models = await _holders(server, [delivery_id])
    return any(await server.writes("retry_delivery", [(keys.model(name), {"id": delivery_id}) for name in models]))


async def counts(server: Server) -> Mapping[tuple[str, DeliveryState], int]:
    """Number of deliveries by target and state."""
    models = await index.names(server, "outbox")
    total: Counter[tuple[str, DeliveryState]] = Counter()
    for found in await server.commands([("HGETALL", f"{keys.model(name)}delivery_counts") for name in models]):
        for field, number in found.items():
            target, _, state = field.decode().rpartition("/")
            total[unquote(target), cast("DeliveryState", state)] += int(number)
    return +total


async def targets_disabled(server: Server) -> Mapping[str, str]:
    """Targets that asked for no more, and when."""
    found = await server.command("HGETALL", _TARGETS)
    return {target.decode(): reason.decode() for target, reason in found.items()}


async def set_target_disabled(server: Server, target: str, reason: str | None) -> None:
    """Disable a target, or enable it again (None)."""
    given = {"target": target} if reason is None else {"target": target, "reason": reason}
    await server.write("set_target_disabled", keys.ALL, given)


async def _claim(server: Server, chosen: Sequence[tuple[str, bytes]], owner: str, until_us: int) -> Sequence[Delivery]:
    """Claim chosen deliveries where they are; in the order they were chosen."""
    by_model: dict[str, list[bytes]] = defaultdict(list)
    for name, key in chosen:
        by_model[name].append(key)
    calls = [
        (keys.model(name), {"ids": ids, "owner": owner, "ends": keys.stamp(until_us)}) for name, ids in by_model.items()
    ]
    found = {
        (name, row[0]): delivery_of(row[1:])
        for name, rows in zip(by_model, await server.writes("claim", calls), strict=True)
        for row in rows
    }
    return [found[one] for one in chosen if one in found]


async def _holders(server: Server, ids: Sequence[str]) -> Sequence[str]:
    """Models that have one of these deliveries."""
    models = await index.names(server, "outbox")
    found = await server.commands([("EXISTS", *(_key(name, one) for one in ids)) for name in models] if ids else [])
    return [name for name, number in zip(models, found, strict=bool(ids)) if number]


def _key(model: str, delivery_id: str) -> str:
    return f"{keys.model(model)}delivery:{delivery_id}"


def delivery_of(found: Sequence[bytes]) -> Delivery:
    """A delivery of its notice, state, attempts, next attempt, change and outcome, as its hash holds them."""
    notice, state, attempts, next_attempt, updated, last = found
    row = msgspec.msgpack.decode(notice, type=OutboxNotice)
    return Delivery(
        id=row.id,
        target=row.target,
        order_key=row.order_key,
        sequence=row.sequence,
        model=row.model,
        notice=row.notice,
        state=cast("DeliveryState", state.decode()),
        attempts=int(attempts),
        created_at_us=row.created_at_us,
        next_attempt_us=keys.unstamp(next_attempt),
        updated_at_us=keys.unstamp(updated),
        last=last.decode(),
    )
