"""A Redis as something that is copied from or to: the keys that the scripts write, written and read from outside.

While a copy is under way, `layout` says so: no service opens the store, and another copy begins anew.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Final, Self
from urllib.parse import unquote

import msgspec

from service.errors import StoreUnavailableError
from service.ports import (
    Activation,
    EpisodeRow,
    EvaluationRow,
    Mark,
    ModelRow,
    Pane,
    ReferenceRow,
    Series,
    Turn,
)
from service.storage.copying import (
    PAGE_ROWS,
    AlertCopy,
    Common,
    DecisionCopy,
    DeliveryCopy,
    EpisodeCopy,
    MarkCopy,
    ModelCopy,
    PaneCopy,
    ReferenceCopy,
    Row,
    Table,
    TurnCopy,
    VersionCopy,
)
from service.storage.redis import index, keys
from service.storage.redis.connecting import Connecting
from service.storage.redis.copies import written
from service.storage.redis.outbox import delivery_of
from service.storage.redis.server import COPYING, LAYOUT, Server
from service.storage.redis.shrinking import unpacked_evaluation

__all__ = ["RedisCopy"]

_PLACE_CHARS: Final = 40
_STAMP_CHARS: Final = 20


class RedisCopy:
    """A Redis that nobody else writes to; made by `of` and `to`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._put: dict[tuple[str, Table], int] = {}

    @classmethod
    async def to(cls, url: str, connecting: Connecting, *, replace: bool) -> Self:
        """A Redis to copy to: emptied if that is asked for, or if an earlier copy was not finished.

        Raises
        ------
        StoreUnavailableError
            It holds models already, or keys of a later layout.
        """
        copy = cls(await Server.open(url, None, connecting, layouts=(None, LAYOUT, COPYING)))
        try:
            unfinished = await copy._server.layout() == COPYING
            if not (replace or unfinished) and await copy.names():
                raise StoreUnavailableError("this Redis holds models already: --replace drops them")  # noqa: TRY301
            await copy._server.set_layout(COPYING)
            await copy._empty()
        except BaseException:
            await copy.close()
            raise
        return copy

    @classmethod
    async def of(cls, url: str, connecting: Connecting) -> Self:
        """A Redis to copy from."""
        return cls(await Server.open(url, None, connecting))

    async def finish(self) -> None:
        """Say that the copy is whole: from now on services may open it."""
        await self._server.set_layout(LAYOUT)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._server.close()

    async def names(self) -> Sequence[str]:
        """Of all models of which anything is kept."""
        enlisted = sorted({*await index.names(self._server, "models"), *await index.names(self._server, "outbox")})
        signs = [("EXISTS", *(keys.model(name) + sign for sign in _SIGNS)) for name in enlisted]
        found = await self._server.commands(signs)
        return [name for name, there in zip(enlisted, found, strict=True) if there]

    async def pages(self, model: str, table: Table) -> AsyncIterator[Sequence[Row]]:
        """All rows of a model in a table, some at a time."""
        read = getattr(self, f"_{table}")
        if table in _LISTED:
            first = 0
            while rows := await read(model, first, first + PAGE_ROWS - 1):
                yield rows
                first += PAGE_ROWS
        elif rows := await read(model):
            yield rows

    async def common(self) -> Common:
        """What belongs to no model."""
        disabled = await self._server.command("HGETALL", f"{keys.ALL}targets_disabled")
        epoch = await self._server.command("HGET", f"{keys.ALL}counters", "epoch")
        found = {target.decode(): reason.decode() for target, reason in disabled.items()}
        return Common(disabled=found, epoch=int(epoch or 0))

    async def put_common(self, common: Common) -> None:
        """Keep what belongs to no model."""
        for target, reason in common.disabled.items():
            await self._server.command("HSET", f"{keys.ALL}targets_disabled", target, reason)
        await self._server.command("HSET", f"{keys.ALL}counters", "epoch", common.epoch)

    async def put(self, model: str, table: Table, rows: Sequence[Row]) -> None:
        """Keep rows of a model."""
        await index.enlist(self._server, "outbox" if table == "deliveries" else "models", [model])
        first = self._put.get((model, table), 0) + 1
        self._put[model, table] = first + len(rows) - 1
        key = keys.model(model)
        commands = [command for number, row in enumerate(rows, first) for command in written(key, number, row)]
        await self._server.commands(commands)
        await self._draw_beyond(rows)

    async def _empty(self) -> None:
        for name in await self.names():
            await self._server.commands(await self._drops(name))
        common = ("models", "outbox", "targets_disabled", "counters", "members")
        await self._server.commands([("UNLINK", f"{keys.ALL}{name}") for name in common])

    async def _drops(self, model: str) -> list[tuple[str, str]]:
        key = keys.model(model)
        panes = await self._server.command("ZRANGE", f"{key}panes", 0, -1)
        places = await self._server.command("ZRANGE", f"{key}delivery_order", 0, -1)
        single = [f"payloads:{pane.decode()}" for pane in panes]
        single += [f"delivery:{_behind(place)}" for place in places]
        return [("UNLINK", key + name) for name in (*keys.MODEL_KEYS, *single)]

    async def _draw_beyond(self, rows: Sequence[Row]) -> None:
        """Numbers that the copy has are not drawn again."""
        used = [row.number for row in rows if isinstance(row, EpisodeCopy | DeliveryCopy)]
        if used:
            drawn = int(await self._server.command("HGET", f"{keys.ALL}counters", "number") or 0)
            await self._server.command("HSET", f"{keys.ALL}counters", "number", max(drawn, *used))

    async def _models(self, model: str) -> Sequence[ModelCopy]:
        key = keys.model(model)
        epoch, owner, configuration, made = await self._server.command(
            "HMGET", f"{key}row", "epoch", "owner", "configuration", "made"
        )
        if epoch is None:
            return []
        activations = await self._server.command("LRANGE", f"{key}activations", 0, -1)
        row = ModelRow(
            model=model,
            epoch=int(epoch),
            owner="file" if owner == b"file" else "api",
            configuration=configuration,
            activations=tuple(msgspec.msgpack.decode(one, type=Activation) for one in activations),
        )
        return [ModelCopy(row=row, made=int(made))]

    async def _references(self, model: str) -> Sequence[ReferenceCopy]:
        key = keys.model(model)
        ids = await self._server.command("LRANGE", f"{key}reference_order", 0, -1)
        found = []
        for one in ids:  # documents are large
            row = await self._server.command("HGET", f"{key}references", one)
            document = await self._server.command("HGET", f"{key}documents", one)
            found.append(ReferenceCopy(row=msgspec.msgpack.decode(row, type=ReferenceRow), document=document))
        return found

    async def _panes(self, model: str, first: int, last: int) -> Sequence[PaneCopy]:
        key = keys.model(model)
        names = await self._server.command("ZRANGE", f"{key}panes", first, last)
        if not names:
            return []
        rows = await self._server.command("HMGET", f"{key}rows", *names)
        late = await self._server.command("HMGET", f"{key}late", *names)
        summed = await self._server.commands([("SISMEMBER", f"{key}summed", name) for name in names])
        payloads = await self._server.commands([("LRANGE", f"{key}payloads:{name.decode()}", 0, -1) for name in names])
        numbers = zip(rows, late, summed, strict=True)
        return [_pane(model, *one) for one in zip(names, numbers, payloads, strict=True)]

    async def _versions(self, model: str) -> Sequence[VersionCopy]:
        key = keys.model(model)
        found: dict[str, dict[str, int]] = {}
        for field, value in (await self._server.command("HGETALL", f"{key}versions")).items():
            version, _, name = field.decode().rpartition("/")
            found.setdefault(unquote(version), {})[name] = keys.unstamp(value)
        dirty: dict[str, dict[int, int]] = {}
        for field, times in (await self._server.command("HGETALL", f"{key}dirty")).items():
            version, _, window = field.rpartition(b"/")
            dirty.setdefault(unquote(version.decode()), {})[keys.unstamp(window)] = int(times)
        return [
            VersionCopy(
                version=version,
                newest_us=reached.get("newest"),
                advanced_at_us=reached.get("advanced"),
                evaluated_until_us=reached.get("evaluated"),
                dirty=dict(sorted(dirty.get(version, {}).items())),
            )
            for version, reached in sorted(found.items())
        ]

    async def _marks(self, model: str, first: int, last: int) -> Sequence[MarkCopy]:
        key = keys.model(model)
        names = await self._server.command("LRANGE", f"{key}mark_order", first, last)
        found = await self._server.command("HMGET", f"{key}marks", *names) if names else []
        return [_mark(name, value) for name, value in zip(names, found, strict=True)]

    async def _turns(self, model: str, first: int, last: int) -> Sequence[TurnCopy]:
        key = keys.model(model)
        senders = await self._server.command("ZRANGE", f"{key}turn_order", first, last)
        found = await self._server.command("HMGET", f"{key}turns", *senders) if senders else []
        return [_turn(sender, value) for sender, value in zip(senders, found, strict=True)]

    async def _evaluations(self, model: str, first: int, last: int) -> Sequence[EvaluationRow]:
        key = keys.model(model)
        places = await self._server.command("ZRANGE", f"{key}evaluation_ends", first, last)
        numbers = [place.rpartition(b"/")[0].rpartition(b":")[2] for place in places]
        found = await self._server.command("HMGET", f"{key}evaluations", *numbers) if numbers else []
        return [unpacked_evaluation(_parts(value)[2]) for value in found]

    async def _alerts(self, model: str) -> Sequence[AlertCopy]:
        found = []
        for field, text in sorted((await self._server.command("HGETALL", f"{keys.model(model)}alerts")).items()):
            version, segment = field.decode().split("/")
            revision, _, document = text.partition(b":")
            found.append(
                AlertCopy(version=unquote(version), segment=unquote(segment), revision=int(revision), document=document)
            )
        return found

    async def _episodes(self, model: str, first: int, last: int) -> Sequence[EpisodeCopy]:
        key = keys.model(model)
        places = await self._server.command("ZRANGE", f"{key}episode_order", first, last)
        ids = [_behind(place) for place in places]
        found = await self._server.command("HMGET", f"{key}episodes", *ids) if ids else []
        return [_episode(text) for text in found]

    async def _decisions(self, model: str) -> Sequence[DecisionCopy]:
        key = keys.model(model)
        places = {}
        for place in await self._server.command("ZRANGE", f"{key}decision_ends", 0, -1):
            head, _, number = place.rpartition(b":")
            version, _, end = head.decode().rpartition("/")
            places[number] = unquote(version), keys.unstamp(end.encode())
        found = []
        for number in sorted(places):
            version, end_us = places[number]
            document = await self._server.command("HGET", f"{key}decisions", number)
            found.append(DecisionCopy(version=version, end_us=end_us, document=document))
        return found

    async def _deliveries(self, model: str, first: int, last: int) -> Sequence[DeliveryCopy]:
        key = keys.model(model)
        places = await self._server.command("ZRANGE", f"{key}delivery_order", first, last)
        wanted = ("notice", "number", "state", "attempts", "next", "updated", "last")
        names = [f"{key}delivery:{_behind(place)}" for place in places]
        return [_delivery(found) for found in await self._server.commands([("HMGET", one, *wanted) for one in names])]


_SIGNS: Final = ("row", "references", "delivery_order")
_LISTED: Final = frozenset({"panes", "marks", "turns", "evaluations", "episodes", "deliveries"})


def _behind(place: bytes) -> str:
    """The id behind two numbers of twenty digits and a slash."""
    return place[_PLACE_CHARS + 1 :].decode()


def _pane(model: str, name: bytes, numbers: tuple[bytes, bytes | None, int], payloads: Iterable[bytes]) -> PaneCopy:
    rows, late, summed = numbers
    version, reference, segment, times = name.decode().split("/")
    series = Series(model=model, version=unquote(version), reference_id=unquote(reference), segment=unquote(segment))
    pane = Pane(
        start_us=keys.unstamp(times[:_STAMP_CHARS].encode()),
        window_start_us=keys.unstamp(times[_STAMP_CHARS:].encode()),
        rows=int(rows),
        late=int(late or 0),
        payloads=tuple(payloads),
    )
    return PaneCopy(series=series, pane=pane, summed=bool(summed))


def _parts(value: bytes) -> list[bytes]:
    """What a script has packed: texts, which are bytes to us."""
    unpacker = msgspec.msgpack.Decoder(list[msgspec.Raw])
    return [_bytes_of(bytes(one)) for one in unpacker.decode(value)]


def _bytes_of(raw: bytes) -> bytes:
    head = raw[0]
    if head & 0xE0 == 0xA0:  # noqa: PLR2004 - a text of up to 31 bytes
        return raw[1:]
    return raw[{0xD9: 2, 0xDA: 3, 0xDB: 5}[head] :]


def _mark(name: bytes, value: bytes) -> MarkCopy:
    digest, answer, at = _parts(value)
    return MarkCopy(mark=Mark(key=name.decode(), digest=digest, answer=answer), at_us=keys.unstamp(at))


def _turn(sender: bytes, value: bytes) -> TurnCopy:
    number, at = value[:_STAMP_CHARS], value[_STAMP_CHARS:]
    return TurnCopy(turn=Turn(sender=sender.decode(), number=int(number)), at_us=keys.unstamp(at))


def _episode(text: bytes) -> EpisodeCopy:
    revision, number, _, until, _, _, row = text.split(b":", 6)
    found = replace(msgspec.msgpack.decode(row, type=EpisodeRow), revision=int(revision))
    return EpisodeCopy(number=int(number), until_us=keys.unstamp(until), row=found)


def _delivery(found: Sequence[bytes]) -> DeliveryCopy:
    notice, number, *stands = found
    return DeliveryCopy(number=int(number), delivery=delivery_of([notice, *stands]))
