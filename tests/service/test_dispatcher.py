"""Deliveries to real receivers on loopback, from an outbox in memory, by a clock that is set by hand."""

import asyncio
import contextlib
import json
import random
import ssl
import subprocess
import threading
from dataclasses import dataclass, replace

import needs
import pytest

from service.alerts.notice import make_test_notice
from service.domain.targets import TargetConfiguration
from service.errors import DeclarationError, StoreUnavailableError
from service.ports import Delivery
from service.webhooks import Dispatcher, Sender, resolve_target, send_test
from service.webhooks.lookup import Lookup, system_resolver
from service.webhooks.payloads import request_of

SECOND = 1_000_000
START = 1_330_923_600 * SECOND
DAY = 86_400 * SECOND
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def answer(status, *headers, body=b""):
    head = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@dataclass
class Clock:
    now: int = START

    def now_us(self):
        return self.now


class Outbox:
    """The part of the store that deliveries are about, as `service.ports` describes it."""

    def __init__(self, clock):
        self.clock = clock
        self.kept = {}
        self.claims = {}
        self.disabled = {}
        self.away = 0  # so many calls find the store away
        self.looked = asyncio.Event()  # the dispatcher has looked again
        self.asked = asyncio.Event()  # a worker asked for the time, which it does before it claims

    def put(self, delivery_id, *, target="ci", order_key=None, sequence=1, notice=None):
        notice = notice or make_test_notice(target, self.clock.now, delivery_id)
        self.kept[delivery_id] = Delivery(
            id=delivery_id,
            target=target,
            order_key=order_key or delivery_id,
            sequence=sequence,
            model="bikes",
            notice=notice if isinstance(notice, bytes) else json.dumps(notice).encode(),
            state="pending",
            attempts=0,
            created_at_us=self.clock.now,
            next_attempt_us=self.clock.now,
            updated_at_us=self.clock.now,
            last="",
        )

    def _reach(self):
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("gone fishing")

    async def now_us(self):
        self.asked.set()
        return self.clock.now

    async def claim(self, target, owner, until_us, limit):
        self._reach()
        heads, claimed = set(), []
        for found in sorted(self.kept.values(), key=lambda found: (found.created_at_us, found.sequence)):
            if found.target != target or found.state != "pending" or found.order_key in heads:
                continue
            heads.add(found.order_key)
            _, held_until_us = self.claims.get(found.id, (None, 0))
            if held_until_us <= self.clock.now and found.next_attempt_us <= self.clock.now and len(claimed) < limit:
                self.claims[found.id] = owner, until_us
                claimed.append(found)
        return claimed

    async def settle(self, owner, settled):
        self._reach()
        for found in settled:
            if self.claims.get(found.id, ("", 0))[0] == owner:
                del self.claims[found.id]
                before = self.kept[found.id]
                self.kept[found.id] = replace(
                    before,
                    state=found.state,
                    next_attempt_us=found.next_attempt_us,
                    last=found.last,
                    attempts=before.attempts + 1,
                )

    async def outbox_counts(self):
        self._reach()
        states = [(found.target, found.state) for found in self.kept.values()]
        return {key: states.count(key) for key in states}

    async def targets_disabled(self):
        self.looked.set()
        return dict(self.disabled)

    async def set_target_disabled(self, target, reason):
        self.disabled[target] = reason
        if reason is None:
            del self.disabled[target]

    def ended(self, delivery_id):
        found = self.kept[delivery_id]
        return found.state, found.last


class Receiver:
    """Answers as its script says: bytes, or a function of the connection; the last entry goes on for ever."""

    def __init__(self, *script):
        self.script = list(script)
        self.requests = []
        self.open = self.open_max = 0
        self.port = 0

    async def __aenter__(self):
        self._connections = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=getattr(self, "ssl", None))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self._connections.add(asyncio.current_task())
        self.open += 1
        self.open_max = max(self.open_max, self.open)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append((first, headers, body))
            act = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            if isinstance(act, bytes):
                writer.write(act)
                await writer.drain()
            else:
                await act(writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self._connections.discard(asyncio.current_task())
            writer.close()

    def target(self, name="ci", host="127.0.0.1", **more):
        document = {"url": f"http://{host}:{self.port}/hook?x=1", "allow_private": True, **more}
        return resolve_target(name, TargetConfiguration.model_validate(document), {})


async def hang(_):
    await asyncio.Event().wait()


async def close_at_once(writer):
    writer.close()


async def close_in_the_head(writer):
    writer.write(b"HTTP/1.1 20")
    await writer.drain()


async def close_in_the_body(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def huge_body(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def endless_head(writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Filler: " + b"x" * 60_000 + b"\r\n")
        await writer.drain()


async def body_that_hangs(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    await hang(writer)


class Scene:
    """An outbox, a clock, and a dispatcher at work."""

    def __init__(self):
        self.clock = Clock()
        self.outbox = Outbox(self.clock)
        self.outcomes = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def dispatching(self, *targets, **more):
        options = {"on_outcome": self.outcomes.put_nowait, "poll_s": 3600.0} | more
        self.dispatcher = Dispatcher(
            self.outbox,
            {target.name: target for target in targets},
            self.clock,
            random.Random(0),  # noqa: S311 - jitter is no secret
            "me",
            **options,
        )
        running = asyncio.create_task(self.dispatcher.run())
        try:
            yield self
        finally:
            await self.dispatcher.stop()
            await running

    async def next(self):
        async with asyncio.timeout(20):
            return await self.outcomes.get()

    async def later(self, delivery_id):
        """Go to when a delivery is due again."""
        self.clock.now = max(self.clock.now, self.outbox.kept[delivery_id].next_attempt_us)
        self.dispatcher.wake()
        return await self.next()


def test_a_notice_is_delivered_once():
    async def scenario():
        scene = Scene()
        async with Receiver(OK) as receiver:
            scene.outbox.put("a")
            async with scene.dispatching(receiver.target(headers={"x-team": "drift"})):
                ended = await scene.next()
            return scene, receiver, ended

    scene, receiver, ended = asyncio.run(scenario())

    ((first, headers, body),) = receiver.requests
    assert first == "POST /hook?x=1 HTTP/1.1"
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert headers["x-team"] == "drift"
    assert headers["webhook-timestamp"] == str(START // SECOND)
    assert headers["webhook-id"] == json.loads(body)["id"]
    assert scene.outbox.ended("a") == ("delivered", "204")
    assert (ended.target, ended.delivery_id, ended.state, ended.ended) == ("ci", "a", "delivered", "204")


def test_notices_that_are_written_later_go_out_when_the_dispatcher_is_woken():
    async def scenario():
        scene = Scene()
        async with Receiver(OK) as receiver, scene.dispatching(receiver.target()):
            scene.outbox.put("a")
            scene.dispatcher.wake()
            return await scene.next()

    assert asyncio.run(scenario()).state == "delivered"


def test_without_being_woken_the_outbox_is_looked_into_by_and_by():
    async def scenario():
        scene = Scene()
        async with Receiver(OK) as receiver, scene.dispatching(receiver.target(), poll_s=0.01):
            scene.outbox.put("a")
            return await scene.next()

    assert asyncio.run(scenario()).state == "delivered"


@pytest.mark.parametrize(
    ("act", "ended"),
    [
        (answer(500), "500"),
        (answer(404), "404"),
        (answer(302, "Location: http://127.0.0.1:1/"), "302"),
        (answer(307, "Location: /elsewhere"), "307"),
        (close_at_once, "broken"),
        (close_in_the_head, "broken"),
        (endless_head, "broken"),
        (b"\x00\x01 not http\r\n\r\n", "broken"),
        (hang, "timeout"),
    ],
)
def test_what_fails_is_tried_again_under_the_same_id_until_it_is_taken(act, ended):
    async def scenario():
        scene = Scene()
        async with Receiver(act, OK) as receiver:
            scene.outbox.put("a")
            target = replace(receiver.target(), timeout_s=0.3 if act is hang else 15.0)
            async with scene.dispatching(target):
                first = await scene.next()
                second = await scene.later("a")
            return scene, receiver, first, second

    scene, receiver, first, second = asyncio.run(scenario())

    assert (first.state, first.ended) == ("pending", ended)
    assert (second.state, second.ended) == ("delivered", "204")
    assert len(receiver.requests) == 2
    assert len({headers["webhook-id"] for _, headers, _ in receiver.requests}) == 1
    assert START < scene.clock.now <= START + 6 * SECOND


def test_nobody_listening_is_tried_again():
    async def scenario():
        async with Receiver(OK) as receiver:
            target = receiver.target()
        scene = Scene()
        scene.outbox.put("a")
        async with scene.dispatching(target):
            return await scene.next()

    assert (asyncio.run(scenario())).ended == "connect"


@pytest.mark.parametrize("act", [close_in_the_body, huge_body, body_that_hangs])
def test_whoever_answered_2xx_has_taken_it_whatever_becomes_of_the_body(act):
    async def scenario():
        scene = Scene()
        async with Receiver(act) as receiver:
            scene.outbox.put("a")
            async with scene.dispatching(replace(receiver.target(), timeout_s=0.5)):
                return await scene.next()

    ended = asyncio.run(scenario())

    assert (ended.state, ended.ended) == ("delivered", "200")


def test_a_delivery_that_is_never_taken_is_dead_in_the_end():
    async def scenario():
        scene = Scene()
        states = []
        async with Receiver(answer(503)) as receiver:
            scene.outbox.put("a")
            async with scene.dispatching(receiver.target(retry_for="1h")):
                states.append((await scene.next()).state)
                while states[-1] == "pending":
                    states.append((await scene.later("a")).state)
        return scene, states

    scene, states = asyncio.run(scenario())

    assert states[-1] == "dead"
    assert scene.outbox.ended("a") == ("dead", "503")
    assert scene.clock.now == START + 3600 * SECOND
    assert 5 < len(states) < 40


def test_retry_after_holds_for_all_that_the_target_is_sent():
    async def scenario():
        scene = Scene()
        async with Receiver(answer(429, "Retry-After: 600"), OK) as receiver:
            scene.outbox.put("a")
            async with scene.dispatching(receiver.target()):
                first = await scene.next()
                scene.outbox.put("b")
                scene.clock.now += 599 * SECOND
                scene.outbox.asked.clear()
                scene.dispatcher.wake()
                await scene.outbox.asked.wait()
                sent_meanwhile = len(receiver.requests)
                others = {(await scene.later("a")).delivery_id, (await scene.next()).delivery_id}
        return scene, first, sent_meanwhile, others

    scene, first, sent_meanwhile, others = asyncio.run(scenario())

    assert (first.state, sent_meanwhile, others) == ("pending", 1, {"a", "b"})
    assert scene.clock.now == pytest.approx(START + 600 * SECOND, abs=5 * SECOND)


def test_gone_disables_the_target_and_what_comes_after_is_kept_as_dead():
    async def scenario():
        scene = Scene()
        async with Receiver(answer(410), OK) as receiver:
            scene.outbox.put("a")
            async with scene.dispatching(receiver.target()):
                gone = await scene.next()
                scene.outbox.put("b")
                scene.dispatcher.wake()
                held = await scene.next()
                await scene.outbox.set_target_disabled("ci", None)
                scene.outbox.put("c")
                scene.dispatcher.wake()
                taken = await scene.next()
        return scene, receiver, [gone, held, taken]

    scene, receiver, ended = asyncio.run(scenario())

    assert [(found.state, found.ended) for found in ended] == [
        ("dead", "410"),
        ("dead", "disabled"),
        ("delivered", "204"),
    ]
    assert len(receiver.requests) == 2
    assert scene.outbox.disabled == {}


def test_a_disabled_target_is_said_to_be_so():
    async def scenario():
        scene = Scene()
        async with Receiver(answer(410)) as receiver:
            scene.outbox.put("a")
            async with scene.dispatching(receiver.target()):
                await scene.next()
        return scene.outbox.disabled

    assert asyncio.run(scenario()) == {"ci": "410 for a"}


def test_notices_of_one_episode_arrive_in_order_and_hold_back_no_other():
    async def scenario():
        scene = Scene()
        async with Receiver(answer(500), OK) as receiver:
            for number in (3, 1, 2):
                scene.outbox.put(f"a{number}", order_key="episode", sequence=number)
            async with scene.dispatching(receiver.target()):
                ended = [await scene.next()]
                scene.outbox.put("b")
                scene.dispatcher.wake()
                ended += [await scene.next(), await scene.later("a1"), await scene.next(), await scene.next()]
        return ended

    ended = [(found.delivery_id, found.state) for found in asyncio.run(scenario())]

    assert ended == [
        ("a1", "pending"),
        ("b", "delivered"),
        ("a1", "delivered"),
        ("a2", "delivered"),
        ("a3", "delivered"),
    ]


def test_a_receiver_that_hangs_delays_nobody_else():
    async def scenario():
        scene = Scene()
        async with Receiver(hang) as stuck, Receiver(OK) as healthy:
            for number in range(20):
                scene.outbox.put(f"s{number}", target="stuck")
                scene.outbox.put(f"h{number}", target="healthy")
            targets = stuck.target("stuck", timeout="120s"), healthy.target("healthy")
            async with scene.dispatching(*targets, drain_s=0.0):
                ended = [await scene.next() for _ in range(20)]
        return scene, ended, stuck, healthy

    scene, ended, stuck, healthy = asyncio.run(scenario())

    assert {(found.target, found.state) for found in ended} == {("healthy", "delivered")}
    assert healthy.open_max <= 4
    assert len(stuck.requests) <= 4
    # What was broken off by the stop is due at once, for whoever comes.
    broken_off = [found for found in scene.outbox.kept.values() if found.last == "interrupted"]
    assert len(broken_off) == 4
    assert {found.next_attempt_us for found in broken_off} == {START}
    assert scene.outbox.claims == {}


def test_no_more_attempts_run_at_a_time_than_the_target_takes():
    async def scenario():
        scene = Scene()
        let_go = asyncio.Event()
        two_are_there = asyncio.Event()

        async def hold(writer):
            if receiver.open == 2:
                two_are_there.set()
            await let_go.wait()
            writer.write(OK)
            await writer.drain()

        async with Receiver(hold) as receiver:
            for number in range(7):
                scene.outbox.put(f"a{number}")
            async with scene.dispatching(receiver.target(concurrency=2)):
                await two_are_there.wait()
                scene.outbox.looked.clear()
                scene.dispatcher.wake()
                await scene.outbox.looked.wait()
                let_go.set()
                for _ in range(7):
                    await scene.next()
        return receiver

    assert asyncio.run(scenario()).open_max == 2


def test_a_stop_lets_attempts_in_flight_end():
    async def scenario():
        scene = Scene()
        arrived, let_go = asyncio.Event(), asyncio.Event()

        async def hold(writer):
            arrived.set()
            await let_go.wait()
            writer.write(OK)
            await writer.drain()

        async with Receiver(hold) as receiver:
            scene.outbox.put("a")
            async with scene.dispatching(receiver.target()):
                await arrived.wait()
                stopping = asyncio.create_task(scene.dispatcher.stop())
                scene.outbox.put("b")
                await asyncio.sleep(0)
                let_go.set()
                await stopping
        return scene

    scene = asyncio.run(scenario())

    assert scene.outbox.ended("a") == ("delivered", "204")
    assert scene.outbox.ended("b") == ("pending", "")


def test_a_stop_before_the_start_is_a_stop():
    async def scenario():
        scene = Scene()
        dispatcher = Dispatcher(scene.outbox, {}, scene.clock, random.Random(0), "me")  # noqa: S311 - jitter is no secret
        await dispatcher.stop()
        await dispatcher.run()

    asyncio.run(scenario())


def test_notices_of_targets_that_are_not_configured_stay_and_are_counted():
    async def scenario():
        scene = Scene()
        async with Receiver(OK) as receiver:
            scene.outbox.put("a", target="gone")
            scene.outbox.put("b")
            async with scene.dispatching(receiver.target()):
                await scene.next()
            return scene

    scene = asyncio.run(scenario())

    assert scene.dispatcher.unconfigured == {"gone": 1}
    assert scene.outbox.ended("a") == ("pending", "")


def test_an_outbox_that_is_away_is_looked_into_again():
    async def scenario():
        scene = Scene()
        scene.outbox.away = 3
        scene.outbox.put("a")
        async with Receiver(OK) as receiver, scene.dispatching(receiver.target(), poll_s=0.01):
            return await scene.next(), scene.outbox.ended("a")

    assert asyncio.run(scenario())[1] == ("delivered", "204")


def test_an_outcome_is_written_when_the_store_is_back():
    async def scenario():
        scene = Scene()

        async def take_and_go_away(writer):
            scene.outbox.away = 4
            writer.write(OK)
            await writer.drain()

        async with Receiver(take_and_go_away) as receiver:
            scene.outbox.put("a")
            async with scene.dispatching(receiver.target(), poll_s=0.01):
                await scene.next()
        return scene, receiver

    scene, receiver = asyncio.run(scenario())

    assert scene.outbox.ended("a") == ("delivered", "204")
    assert len(receiver.requests) == 1


def test_an_outcome_that_cannot_be_written_leaves_the_claim_to_run_out():
    async def scenario():
        scene = Scene()

        async def take_and_go_away(writer):
            scene.outbox.away = 10**6
            writer.write(OK)
            await writer.drain()

        async with Receiver(take_and_go_away) as receiver:
            scene.outbox.put("a")
            async with scene.dispatching(receiver.target(), poll_s=0.01, settle_s=0.03):
                ended = await scene.next()
        return scene, ended

    scene, ended = asyncio.run(scenario())

    assert ended.state == "delivered"
    assert scene.outbox.ended("a") == ("pending", "")
    assert scene.outbox.claims["a"] == ("me#1", START + 15 * SECOND + 30_000)


def test_an_attempt_that_outlived_its_claim_does_not_end_the_next_one_of_the_same_process():
    async def scenario():
        scene = Scene()
        arrived = [asyncio.Event(), asyncio.Event()]
        answers = [asyncio.Event(), asyncio.Event()]
        numbers = iter(range(2))

        async def answer_when_told(writer):
            number = next(numbers)
            arrived[number].set()
            await answers[number].wait()
            writer.write(answer("503 Later") if number == 0 else OK)
            await writer.drain()

        async with Receiver(answer_when_told) as receiver:
            scene.outbox.put("a")
            async with scene.dispatching(receiver.target(concurrency=2), poll_s=0.01):
                await arrived[0].wait()
                scene.clock.now += 3600 * SECOND  # as it is for a process that was stopped for an hour
                await arrived[1].wait()
                claimed = scene.outbox.claims["a"]
                answers[0].set()
                late = await scene.next()
                left = scene.outbox.claims.get("a") == claimed, scene.outbox.ended("a")
                answers[1].set()
                in_time = await scene.next()
        return late, left, in_time, scene.outbox.ended("a")

    late, (still_claimed, ended), in_time, at_the_end = asyncio.run(scenario())

    assert late.state == "pending"
    assert still_claimed
    assert ended == ("pending", "")
    assert in_time.state == "delivered"
    assert at_the_end == ("delivered", "204")


def test_a_stop_while_the_store_is_away_ends_too():
    async def scenario():
        scene = Scene()
        arrived = asyncio.Event()

        async def go_away(writer):
            scene.outbox.away = 10**6
            arrived.set()
            await hang(writer)

        async with Receiver(go_away) as receiver:
            scene.outbox.put("a")
            async with scene.dispatching(receiver.target(), drain_s=0.0):
                await arrived.wait()
        return scene

    assert "a" in asyncio.run(scenario()).outbox.claims


@pytest.mark.parametrize("notice", [b"", b"[]", b"{}", b'{"kind": 3, "links": 4}', b"\xff"])
def test_a_notice_that_cannot_be_read_is_dead(notice):
    async def scenario():
        scene = Scene()
        async with Receiver(OK) as receiver:
            scene.outbox.put("a", notice=notice or b"{")
            async with scene.dispatching(receiver.target()):
                return await scene.next()

    ended = asyncio.run(scenario())

    assert (ended.state, ended.ended) == ("dead", "unreadable")


def test_a_mistake_of_ours_is_an_attempt_that_failed():
    class Broken(Sender):
        async def send(self, target, request):
            raise ZeroDivisionError(target.url)

    async def scenario():
        scene = Scene()
        scene.outbox.put("a")
        target = resolve_target("ci", TargetConfiguration(url="https://ci.example/"), {})
        async with scene.dispatching(target, sender=Broken()):
            return await scene.next()

    ended = asyncio.run(scenario())

    assert (ended.state, ended.ended) == ("pending", "error")


# One attempt


def sent(target, sender=None):
    async def attempt():
        return await (sender or Sender()).send(target, request_of(target, make_test_notice("ci", START, "n"), 0))

    return attempt()


def lookup_of(**names):
    asked = []

    def resolver(host):
        asked.append(host)
        found = names.get(host.partition(".")[0])
        if found is None:
            raise OSError("no such name")
        return found.pop(0) if isinstance(found[0], list) else found

    lookup = Lookup(resolver)
    lookup.asked = asked
    return lookup


def test_a_name_is_looked_up_once_and_just_what_was_checked_is_called():
    async def scenario():
        lookup = lookup_of(hook=[["127.0.0.1"], ["169.254.169.254"]])
        async with Receiver(OK) as receiver:
            ended = await sent(receiver.target(host="hook.example"), Sender(lookup))
            rebound = await sent(receiver.target(host="hook.example"), Sender(lookup))
        return receiver, lookup, ended, rebound

    receiver, lookup, ended, rebound = asyncio.run(scenario())

    ((_, headers, _),) = receiver.requests
    assert headers["host"] == f"hook.example:{receiver.port}"
    assert (ended.ended, rebound.ended) == ("204", "refused_address")
    assert lookup.asked == ["hook.example"] * 2


@pytest.mark.parametrize(
    ("addresses", "allow_private", "ended"),
    [
        (["127.0.0.1"], False, "private_address"),
        (["127.0.0.1", "169.254.169.254"], True, "refused_address"),
        (["::ffff:127.0.0.1"], False, "private_address"),
        (None, True, "lookup"),
    ],
)
def test_addresses_that_may_not_be_called_are_not(addresses, allow_private, ended):
    async def scenario():
        async with Receiver(OK) as receiver:
            target = receiver.target(host="hook.example", allow_private=allow_private)
            return receiver, await sent(target, Sender(lookup_of(hook=addresses)))

    receiver, found = asyncio.run(scenario())

    assert found.ended == ended
    assert receiver.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "localhost"])
def test_however_loopback_is_written_it_is_private(host):
    async def scenario():
        async with Receiver(OK) as receiver:
            return await sent(receiver.target(host=host, allow_private=False))

    assert asyncio.run(scenario()).ended == "private_address"


def test_the_proxies_of_the_environment_are_not_asked(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def scenario():
        async with Receiver(OK) as receiver:
            return await sent(receiver.target())

    assert asyncio.run(scenario()).ended == "204"


def test_the_addresses_of_a_name_are_tried_in_turn():
    async def scenario():
        async with Receiver(OK) as receiver:
            target = receiver.target(host="hook.example")
            return await sent(target, Sender(lookup_of(hook=["127.0.0.2", "127.0.0.3", "127.0.0.1"])))

    assert asyncio.run(scenario()).ended == "204"


def test_an_address_that_no_client_can_read_is_a_failure():
    target = replace(
        resolve_target("ci", TargetConfiguration(url="https://ci.example/"), {}), url="https://\u2028.example/"
    )

    assert asyncio.run(sent(target)).ended == "broken"


@pytest.mark.parametrize("host", ["." * 3, "a" * 80 + ".example"])
def test_a_name_that_is_none_is_not_found(host):
    lookup = Lookup(system_resolver)

    async def scenario():
        await lookup.addresses(host)

    with pytest.raises(OSError):  # noqa: PT011 - its text is the system's
        asyncio.run(scenario())


def test_who_asks_for_the_same_name_waits_for_the_same_answer_and_a_stuck_one_holds_nobody_else():
    let_go = threading.Event()
    asked = []

    def resolver(host):
        asked.append(host)
        if host == "stuck.example":
            let_go.wait()
            raise OSError("gone")
        return ["8.8.8.8"]

    async def scenario():
        lookup = Lookup(resolver)
        waiting = [asyncio.create_task(lookup.addresses("stuck.example")) for _ in range(3)]
        found = await lookup.addresses("other.example")
        waiting[0].cancel()
        let_go.set()
        return found, await asyncio.gather(*waiting, return_exceptions=True)

    found, ended = asyncio.run(scenario())

    assert found == ["8.8.8.8"]
    assert asked.count("stuck.example") == 1
    assert [type(error) for error in ended] == [asyncio.CancelledError, OSError, OSError]


def test_a_lookup_that_outlives_the_loop_ends_quietly():
    let_go, done = threading.Event(), threading.Event()

    def resolver(_):
        let_go.wait()
        done.set()
        return ["8.8.8.8"]

    async def scenario():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await Lookup(resolver).addresses("stuck.example")

    asyncio.run(scenario())
    let_go.set()

    assert done.wait(10)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    needs.program("openssl", "openssl")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=hook.example", "-addext", "subjectAltName=DNS:hook.example",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize(("host", "ended"), [("hook.example", "204"), ("other.example", "tls")])
def test_the_certificate_has_to_bear_the_name_of_the_target_not_the_address(certificate, host, ended):
    async def scenario():
        receiver = Receiver(OK)
        receiver.ssl = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        receiver.ssl.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        trusting = ssl.create_default_context(cafile=certificate / "cert.pem")
        async with receiver:
            target = replace(receiver.target(host=host), url=f"https://{host}:{receiver.port}/")
            return await sent(target, Sender(lookup_of(hook=["127.0.0.1"], other=["127.0.0.1"]), trusting))

    assert asyncio.run(scenario()).ended == ended


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate):
    async def scenario():
        receiver = Receiver(OK)
        receiver.ssl = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        receiver.ssl.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        async with receiver:
            target = replace(receiver.target(), url=f"https://hook.example:{receiver.port}/")
            return await sent(target, Sender(lookup_of(hook=["127.0.0.1"])))

    assert asyncio.run(scenario()).ended == "tls"


# Tests by hand


def test_a_test_goes_out_at_once_and_shows_the_answer():
    async def scenario():
        scene = Scene()
        async with Receiver(answer(200, body=b"thanks")) as receiver, scene.dispatching(receiver.target()):
            found = await scene.dispatcher.send_test("ci")
            with pytest.raises(DeclarationError, match="target 'cd' is not configured; there are: ci"):
                await scene.dispatcher.send_test("cd")
        return found, receiver, scene

    found, receiver, scene = asyncio.run(scenario())

    assert (found.status, found.ended, found.body) == (200, "200", b"thanks")
    assert found.duration_s > 0
    assert json.loads(receiver.requests[0][2])["kind"] == "test"
    assert scene.outbox.kept == {}


def test_without_targets_a_test_says_so():
    with pytest.raises(DeclarationError, match="there are: none"):
        asyncio.run(send_test({}, "ci", Sender(), Clock(), random.Random(0)))  # noqa: S311 - no secret
