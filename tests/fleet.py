"""Sidecars and their centre in one process, on a wire that can be watched, cut, and made to stutter; for tests."""

import asyncio
import contextlib
import random

import httpx
from serving import JSON, encoded, settings_of

from service.app.sidecar import Sidecar
from service.storage.upstream import Patience, UpstreamStore

QUICKLY = Patience(connect_s=0.5, answer_s=0.5, call_s=0.5, backoff_s=0.001, backoff_max_s=0.01)


class Wire(httpx.AsyncBaseTransport):
    """What lies between a sidecar and its centre.

    `cut` refuses connections. `lost` is the share of requests that arrive and whose answers do not; `again` that of requests
    that arrive once more, long after they were answered. What is asked of a path that ends in `spoilt` is answered with `nonsense`.
    What is asked of a path that begins with one of `held` is not answered before its event is set.
    """

    def __init__(self, application, rng):
        self._inner = httpx.ASGITransport(app=application)
        self._rng = rng
        self.cut = False
        self.lost = 0.0
        self.again = 0.0
        self.spoilt = None
        self.nonsense = httpx.Response(200, content=b"{}")
        self.held = {}
        self.holding = 0
        self.sent = []
        self._late = []

    async def handle_async_request(self, request):
        if self.cut:
            raise httpx.ConnectError("the wire is cut")
        body = await request.aread()
        self.sent.append((request.method, request.url.path, body))
        answer = await self._inner.handle_async_request(request)
        content = await answer.aread()
        for path, event in self.held.items():
            if request.url.path.startswith(path):
                self.holding += 1
                await event.wait()
                self.holding -= 1
        if self.spoilt is not None and request.url.path.endswith(self.spoilt):
            return self.nonsense
        if request.method == "POST":
            if self._rng.random() < self.again:
                self._late.append(request)
            if self._rng.random() < self.lost:
                raise httpx.ReadError("the answer was lost")
        return httpx.Response(answer.status_code, headers=answer.headers, content=_as_sent(answer, content))

    async def stragglers(self):
        """Deliver what was under way all the time."""
        late, self._late = self._late, []
        return [(await self._inner.handle_async_request(request)).status_code for request in late]


def _as_sent(answer, content):
    """The body as it was on the wire: what is read here is inflated already."""
    if answer.headers.get("content-encoding") == "gzip":
        import gzip  # noqa: PLC0415 - for references alone

        return gzip.compress(content)
    return content


class Beside:
    """A running sidecar, and a client of it."""

    def __init__(self, sidecar, wire, client):
        self.sidecar, self.wire, self.client = sidecar, wire, client

    def send(self, body, *, model="m", headers=JSON, key=None, **kept):
        if key is not None:
            headers = {**headers, "idempotency-key": key}
        content = body if isinstance(body, bytes) else encoded(body)
        return self.client.post(f"/v1/models/{model}/inferences", content=content, headers=headers, **kept)

    async def metrics(self):
        answer = await self.client.get("/metrics")
        assert answer.status_code == 200
        return [line for line in answer.text.splitlines() if not line.startswith("#")]

    async def metric(self, name):
        """Value of a metric, summed over its labels."""
        lines = [line for line in await self.metrics() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


@contextlib.asynccontextmanager
async def beside(centre, folder, *, number=0, key=None, own_clock=False, patience=QUICKLY, cut=False, **sections):
    """Run a sidecar of a centre; its clock is the centre's own, unless it is to find out the time for itself."""
    rng = random.Random(number)  # noqa: S311 - chance is no secret
    wire = Wire(centre.service.application, rng)
    wire.cut = cut
    sections = {"store": {"url": "http://centre"}, **sections}
    store = UpstreamStore(
        "http://centre",
        key,
        None if own_clock else centre.clock,
        name=f"sidecar{number}",
        patience=patience,
        rng=rng,
        transport=wire,
    )
    sidecar = Sidecar(settings_of(folder, **sections), store, rng)
    await sidecar.start()
    transport = httpx.ASGITransport(app=sidecar.application)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://sidecar") as client:
            yield Beside(sidecar, wire, client)
    finally:
        wire.lost = 0.0
        await sidecar.stop()


@contextlib.asynccontextmanager
async def fleet_of(centre, folder, n, **kept):
    """Run several."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(beside(centre, folder, number=number, **kept)) for number in range(n)]


async def sprayed(rng, sidecars, batches, *, keyed=True, first=0):
    """Send batches through random sidecars, some of them twice, and again until they are acknowledged."""

    async def one(number, body):
        key = f"k{number}" if keyed else None
        for repeat in range(2 if keyed and rng.random() < 0.2 else 1):
            while True:
                answer = await rng.choice(sidecars).send(body, key=key)
                if answer.status_code == 200:
                    break
                assert answer.status_code in {429, 503}, answer.text
            assert not repeat or answer.json()["duplicate"]

    order = list(enumerate(batches, first))
    rng.shuffle(order)
    for start in range(0, len(order), 16):
        await asyncio.gather(*(one(*batch) for batch in order[start : start + 16]))
