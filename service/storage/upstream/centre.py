"""Requests to the centre: tried again with back-off and jitter, for a bounded time.

Everything that is sent may be sent twice: counts carry their identity, all else is read. So whatever leaves open whether it
arrived (a connection that breaks, no answer in time, a proxy's 502) is simply sent again. An answer counts only if it is the
centre's own: a proxy that finds nobody behind it has a 404 of its own, and to take that for a deleted model would drop rows.
"""

import asyncio
import random
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import httpx

from service.errors import NOT_KNOWN, StoreUnavailableError
from service.storage.upstream.clock import CentreClock

__all__ = ["IN_DOUBT", "Centre", "Heard", "Patience"]

_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_REFUSED_FOR_NOW: Final = frozenset({408, 429, 503})  # by the centre itself, which has done nothing unless it says so
_UNKNOWN_KEY, _FORBIDDEN = 401, 403
IN_DOUBT: Final = f"; whether the rows were counted {NOT_KNOWN}: send them again only with the Idempotency-Key they had"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the centre is waited for.

    Parameters
    ----------
    connect_s, answer_s : float
        Of one attempt.
    call_s : float
        Of all attempts together; then senders who wait hear 503.
    backoff_s, backoff_max_s : float
        Between attempts: up to twice as long each time.
    """

    connect_s: float = 1.0
    answer_s: float = 3.0
    call_s: float = 5.0
    backoff_s: float = 0.05
    backoff_max_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An answer of the centre's own, and between which times of this machine it was given."""

    status: int
    body: bytes
    detail: str
    asked_us: int
    heard_us: int


class Centre:
    """The central Driftline; made by `at`.

    Parameters
    ----------
    client : httpx.AsyncClient
    clock : CentreClock
    patience : Patience
    rng : random.Random
        For jitter.
    """

    def __init__(self, client: httpx.AsyncClient, clock: CentreClock, patience: Patience, rng: random.Random) -> None:
        self._client = client
        self._clock = clock
        self._patience = patience
        self._rng = rng
        self._closed = False
        self.up: bool | None = None

    @classmethod
    def at(
        cls,
        url: str,
        key: str | None,
        *,
        clock: CentreClock,
        patience: Patience,
        rng: random.Random,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """At an address. Proxies of the environment are not asked: the centre is a neighbour."""
        client = httpx.AsyncClient(
            transport=transport,
            base_url=url,
            headers={} if key is None else {"Authorization": f"Bearer {key}"},
            verify=ssl.create_default_context(),
            trust_env=False,
            timeout=httpx.Timeout(patience.answer_s, connect=patience.connect_s),
        )
        return cls(client, clock, patience, rng)

    async def close(self) -> None:
        """Let go of the connections."""
        self._closed = True
        await self._client.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        call_s: float | None = None,
    ) -> Heard:
        """The centre's answer; `call_s` where it is waited for longer, or shorter, than usual.

        Raises
        ------
        StoreUnavailableError
            None in time; or the key opens nothing.
        """
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        request = self._client.build_request(method, path, content=content, headers=dict(headers or {}))
        if call_s is not None:
            answer_s = max(call_s, self._patience.answer_s)
            request.extensions["timeout"] = httpx.Timeout(answer_s, connect=self._patience.connect_s).as_dict()
        try:
            heard = await self._asked(request, self._patience.call_s if call_s is None else call_s)
        except StoreUnavailableError:
            self.up = False
            raise
        self.up = True
        return heard

    async def _asked(self, request: httpx.Request, call_s: float) -> Heard:
        why, in_doubt, under_way = "the centre does not answer in time", False, False
        backoff_s = self._patience.backoff_s
        last_try_us = self._clock.local_us() + int(self._patience.call_s * 1e6)
        try:
            async with asyncio.timeout(call_s):
                while True:
                    under_way = True
                    outcome = await self._try(request)
                    under_way = False
                    if isinstance(outcome, Heard):
                        return outcome
                    why, in_doubt = outcome.why, in_doubt or outcome.in_doubt
                    if self._clock.local_us() >= last_try_us:
                        raise TimeoutError  # noqa: TRY301 - a long answer is waited for, a centre that is away is not
                    await asyncio.sleep(max(outcome.wait_s, self._rng.uniform(backoff_s / 2, backoff_s)))
                    backoff_s = min(backoff_s * 2, self._patience.backoff_max_s)
        except TimeoutError:
            raise StoreUnavailableError(
                why + (IN_DOUBT if (in_doubt or under_way) and request.method == "POST" else "")
            ) from None

    async def _try(self, request: httpx.Request) -> "Heard | _Silence":
        asked_us = self._clock.local_us()
        try:
            answer = await self._client.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return _Silence(f"the centre cannot be reached ({type(error).__name__})", in_doubt=False)
        except httpx.TimeoutException:
            return _Silence("the centre does not answer in time", in_doubt=True)
        except (httpx.HTTPError, httpx.StreamError) as error:
            return _Silence(f"the centre does not answer ({type(error).__name__})", in_doubt=True)
        status = answer.status_code
        is_problem = answer.headers.get("content-type", "").partition(";")[0] == _PROBLEM
        if status in _AGAIN:
            own_refusal = is_problem and status in _REFUSED_FOR_NOW and NOT_KNOWN not in _detail_of(answer)
            return _Silence(f"the centre answers {status}", in_doubt=not own_refusal, wait_s=_wait_of(answer))
        if is_problem and status in {_UNKNOWN_KEY, _FORBIDDEN}:
            raise StoreUnavailableError(f"the centre answers {status}: the key does not open what a sidecar needs")
        if not (is_problem if status >= 400 else status == 200):  # noqa: PLR2004 - of HTTP
            why = f"what answers at the address of the centre ({status}) is not a Driftline"
            return _Silence(why, in_doubt=False)
        return Heard(
            status=status,
            body=answer.content,
            detail=_detail_of(answer) if is_problem else "",
            asked_us=asked_us,
            heard_us=self._clock.local_us(),
        )


@dataclass(frozen=True, slots=True)
class _Silence:
    """Why there is no answer, whether the request may have been carried out, and how long the centre wants to be left alone."""

    why: str
    in_doubt: bool
    wait_s: float = 0.0


def _wait_of(answer: httpx.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdecimal() else 0.0


def _detail_of(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, LookupError, TypeError):
        return ""
