"""Scripts on a server: each is atomic, and a write that must be sent again is not done twice.

A connection that breaks after the command was sent leaves open whether it was done. So every write carries a ticket, by which
the script knows that it was done, and what it answered; the client then sends it again without harm.
"""

import asyncio
import hashlib
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib.resources import files
from itertools import chain
from operator import itemgetter
from typing import Any, Final, Self

from redis.asyncio import RedisCluster
from redis.exceptions import NoScriptError, ResponseError

from service.domain.redis_address import redis_address
from service.errors import NOT_KNOWN, StoreUnavailableError, UnusableStoreError
from service.ports import Clock
from service.storage.redis import keys
from service.storage.redis.connecting import Client, Connected, Connecting, connect
from service.storage.redis.failures import TooFewReplicasError, is_in_doubt, translated
from service.storage.redis.packing import pack

__all__ = ["COPYING", "LAYOUT", "Given", "Server"]

Given = Mapping[str, Any]

LAYOUT: Final = "1"
COPYING: Final = "being copied to"
"""In the place of the number of a layout, so that no service opens what is not whole yet."""

_PIPELINE_MAX: Final = 500
_KEYS: Final = 2
"""Two keys that never are: while a cluster moves their slot, all servers refuse (TRYAGAIN) what names several of which one is
missing. With one key a script would run where only some of the others have arrived."""

_LATER: Final = "the keys in this Redis are of a later version of Driftline"
_UNFINISHED: Final = "this Redis is being copied to, or a copy was not finished: `driftline store copy` goes on with it"
_CLOSED: Final = "the store is closed"


class Server:
    """A Redis that scripts are run on; made by `at`, or by `open`, which sees at once that it is there.

    Before the first call it is seen that the keys are of a layout that this program knows.
    """

    def __init__(
        self,
        connect: Callable[[], Connected],
        clock: Clock | None,
        connecting: Connecting,
        layouts: Sequence[str | None],
    ) -> None:
        self._connect = connect
        self._connected = connect()
        self._clock = clock
        self._connecting = connecting
        self._layouts = layouts
        self._known = False
        self._calls = asyncio.Semaphore(connecting.connections_max)
        self._closed = False

    @classmethod
    def at(
        cls, url: str, clock: Clock | None, connecting: Connecting, layouts: Sequence[str | None] = (LAYOUT,)
    ) -> Self:
        """One that is connected to when it is first called. Unless an empty Redis is among the layouts, it gets ours.

        Raises
        ------
        StoreUnavailableError
            A file with a certificate or key cannot be read.
        """
        return cls(partial(connect, redis_address(url), connecting), clock, connecting, layouts)

    @classmethod
    async def open(
        cls, url: str, clock: Clock | None, connecting: Connecting, layouts: Sequence[str | None] = (LAYOUT,)
    ) -> Self:
        """Connect, and see that the keys are of one of the layouts.

        Raises
        ------
        StoreUnavailableError
        """
        server = cls.at(url, clock, connecting, layouts)
        try:
            await server.layout()
        except BaseException:
            await server.close()
            raise
        return server

    async def close(self) -> None:
        """Let go of the connections."""
        if not self._closed:
            self._closed = True
            with translated():
                await self._connected.close()

    async def now_us(self) -> int:
        """Time by the clock of the store, which is the server's if no other was given."""
        if self._clock is not None:
            self._alive()
            return self._clock.now_us()
        seconds, rest = await self.time()
        return seconds * 1_000_000 + rest

    async def time(self) -> tuple[int, int]:
        """Seconds and microseconds by the clock of the server, in a cluster of the one that has what belongs to no model."""
        seconds, rest = await self.read("time", keys.ALL)
        return int(seconds), int(rest)

    async def layout(self) -> str | None:
        """Of which layout the keys are; None of an empty Redis."""
        found = await self.command("GET", f"{keys.ALL}layout")
        return None if found is None else str(found.decode())

    async def set_layout(self, layout: str) -> None:
        """Say so."""
        await self.command("SET", f"{keys.ALL}layout", layout)

    async def command(self, *parts: str | bytes | int) -> Any:
        """Answer to a command that may be sent twice."""
        async with self._call():
            return await self._client.execute_command(*parts)

    async def written(self, *parts: str | bytes | int) -> None:
        """Send a command that writes whenever it is sent, until as many replicas have it as must."""
        async with self._call():
            _raised(await self._acknowledged([parts], self._connecting.replicas_acknowledge))

    async def commands(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[Any]:
        """Answers to commands that may be sent twice, each of its own moment."""
        self._alive()
        found: list[Any] = []
        for first in range(0, len(commands), _PIPELINE_MAX):
            async with self._call():
                found += _raised(await self._pipelined(commands[first : first + _PIPELINE_MAX]))
        return found

    async def read(self, script: str, prefix: str, given: Given | None = None) -> Any:
        """Answer of a script that writes nothing."""
        return (await self.reads(script, [(prefix, given or {})]))[0]

    async def write(self, script: str, prefix: str, given: Given | None = None) -> Any:
        """Answer of a script that writes, once."""
        return (await self.writes(script, [(prefix, given or {})]))[0]

    async def reads(self, script: str, calls: Sequence[tuple[str, Given]]) -> list[Any]:
        """Answers of a script that writes nothing, each of its own moment."""
        return await self._run(script, [(prefix, given, "") for prefix, given in calls])

    async def writes(
        self, script: str, calls: Sequence[tuple[str, Given]], tickets: Sequence[str] | None = None
    ) -> list[Any]:
        """Answers of a script that writes; each call is atomic by itself, in this order.

        A caller that may come again after a failure brings tickets of its own; empty ones are made up.
        """
        try:
            return await self._run(script, _named(calls, tickets or [""] * len(calls)))
        except StoreUnavailableError as error:
            doubted = _doubted(error, len(calls))
            if doubted is error:
                raise
            raise doubted from error

    async def writes_apart(
        self, script: str, calls: Sequence[tuple[str, Given]], tickets: Sequence[str]
    ) -> list[Any | StoreUnavailableError]:
        """As `writes`, but what became of one call is not said of the others: its error stands in the place of its answer.

        Servers of a cluster are asked each by itself, for a pipeline ends as the worst of them does.
        """
        self._alive()
        named = _named(calls, tickets)
        by_server: dict[str, list[int]] = defaultdict(list)
        for number, server in enumerate(await self._servers_of([prefix for prefix, _ in calls])):
            by_server[server].append(number)

        async def answers_of(numbers: Sequence[int]) -> list[Any | StoreUnavailableError]:
            try:
                return [_told(one) for one in await self._answers(script, [named[number] for number in numbers])]
            except StoreUnavailableError as error:
                return [_doubted(error, len(numbers))] * len(numbers)

        answers = await asyncio.gather(*(answers_of(numbers) for numbers in by_server.values()))
        numbers = [number for some in by_server.values() for number in some]
        found = zip(numbers, chain.from_iterable(answers), strict=True)
        return [one for _, one in sorted(found, key=itemgetter(0))]

    async def repeatable(self, script: str, calls: Sequence[tuple[str, Given]]) -> list[Any]:
        """Answers of a script that writes what may be written twice; it leaves no ticket behind."""
        return await self._run(script, [(prefix, given, "") for prefix, given in calls])

    async def _servers_of(self, prefixes: Sequence[str]) -> Sequence[str]:
        """Names of the servers that have models, as far as is known; a single server has no name."""
        if not isinstance(self._client, RedisCluster):
            return [""] * len(prefixes)
        async with self._call():
            await self._client.initialize()
        slots = self._client.nodes_manager.slots_cache
        nodes = [slots.get(self._client.keyslot(prefix)) for prefix in prefixes]
        return [node[0].name if node else "" for node in nodes]

    async def _run(self, script: str, calls: Sequence[tuple[str, Given, str]]) -> list[Any]:
        found = await self._answers(script, calls)
        with translated():
            return _raised(found)

    async def _answers(self, script: str, calls: Sequence[tuple[str, Given, str]]) -> list[Any]:
        """Answers, and errors in the place of some."""
        self._alive()
        now = "" if self._clock is None else keys.stamp(self._clock.now_us())
        found: list[Any] = []
        for first in range(0, len(calls), _PIPELINE_MAX):
            async with self._call():
                found += await self._run_together(script, calls[first : first + _PIPELINE_MAX], now)
        return found

    async def _run_together(self, script: str, calls: Sequence[tuple[str, Given, str]], now: str) -> list[Any]:
        source, digest = _source(script)
        packed = [_arguments(prefix, ticket, now, *pack(given)) for prefix, given, ticket in calls]
        awaited = self._connecting.replicas_acknowledge if any(ticket for _, _, ticket in calls) else 0
        answers = await self._acknowledged([("EVALSHA", digest, _KEYS, *one) for one in packed], awaited)
        # A server that was started anew has no scripts.
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            again = await self._acknowledged([("EVAL", source, _KEYS, *packed[i]) for i in unknown], awaited)
            for i, answer in zip(unknown, again, strict=True):
                answers[i] = answer
        return answers

    async def _acknowledged(self, commands: Sequence[Sequence[str | bytes | int]], replicas: int) -> list[Any]:
        """Answers to commands, once so many replicas have what they wrote."""
        if not replicas:
            return await self._pipelined(commands)
        wait = ("WAIT", replicas, int(self._connecting.answer_timeout_s * 500))  # half of it, in milliseconds
        *answers, reached = await self._pipelined([*commands, wait])
        if isinstance(reached, BaseException):
            raise reached
        if reached < replicas:
            raise TooFewReplicasError(f"{reached} of {replicas} replicas of Redis have acknowledged in time")
        return answers

    async def _pipelined(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[Any]:
        if len(commands) == 1:  # a pipeline costs the client half as much again
            try:
                return [await self._client.execute_command(*commands[0])]
            except ResponseError as error:
                return [error]
        async with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return list(await pipeline.execute(raise_on_error=False))

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        """One call of the port: within its time, when one of the connections is free."""
        self._alive()
        with translated():
            async with asyncio.timeout(self._connecting.call_timeout_s), self._calls:
                if not self._known:
                    await self._look()
                yield

    @property
    def _client(self) -> Client:
        return self._connected.client

    async def _look(self) -> None:
        """See that the server is there, and the layout one that is known; if not, the next call begins with a new client."""
        try:
            await self._look_at_layout()
        except BaseException as error:
            # A client of a cluster that has found no node, or none with keys, finds none later either.
            of_nobody, self._connected = self._connected, self._connect()
            await of_nobody.close()
            if isinstance(error, IndexError):  # of redis-py, which wants a first primary
                raise StoreUnavailableError("the cluster of Redis has not been made yet") from error
            raise

    async def _look_at_layout(self) -> None:
        if None not in self._layouts:
            await self._client.execute_command("SET", f"{keys.ALL}layout", LAYOUT, "NX")
        found = await self._client.execute_command("GET", f"{keys.ALL}layout")
        layout = None if found is None else found.decode()
        if layout not in self._layouts:
            raise UnusableStoreError(_UNFINISHED if layout == COPYING else _LATER)
        self._known = True

    def _alive(self) -> None:
        if self._closed:
            raise StoreUnavailableError(_CLOSED)


def _arguments(prefix: str, ticket: str, now: str, packed: bytes, *blobs: bytes) -> Sequence[str | bytes]:
    return prefix, f"{prefix}none", packed, ticket, now, *blobs


def _named(calls: Sequence[tuple[str, Given]], tickets: Sequence[str]) -> Sequence[tuple[str, Given, str]]:
    return [(prefix, given, own or secrets.token_hex(8)) for (prefix, given), own in zip(calls, tickets, strict=True)]


def _doubted(error: StoreUnavailableError, calls: int) -> StoreUnavailableError:
    """The error of calls that were sent together, which says if they may have been done."""
    if calls > 1 or is_in_doubt(error):
        return StoreUnavailableError(f"{error}; whether it was written {NOT_KNOWN}")
    return error


def _told(answer: Any) -> Any | StoreUnavailableError:
    """An answer, or what is said of the error that stands in its place."""
    try:
        with translated():
            return _raised([answer])[0]
    except StoreUnavailableError as error:
        return error


def _raised(answers: list[Any]) -> list[Any]:
    """Answers, none of which is an error."""
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


@cache
def _source(script: str) -> tuple[bytes, str]:
    folder = files("service.storage.redis") / "lua"
    prelude, body, epilogue = ((folder / f"{name}.lua").read_text() for name in ("prelude", script, "epilogue"))
    source = f"{prelude}\nlocal function operation()\n{body}\nend\n\n{epilogue}".encode()
    return source, hashlib.sha1(source, usedforsecurity=False).hexdigest()
