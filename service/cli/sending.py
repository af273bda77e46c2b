"""Chunks of a log to a running service, each until it is answered for good.

Chunks are sent one after the other, because their order is the order of time. A service that is busy (429), away (503, or no
connection) or behind a gateway that is (502, 504) is asked again after what its `Retry-After` says, at least after a back-off
that doubles, with jitter. Each chunk has an idempotency key: one that was counted although its answer was lost is not counted
again.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import httpx

from service.clock import SystemClock
from service.errors import DriftlineError
from service.ports import Clock
from service.webhooks.retry import parse_retry_after_us
from service.windows.zones import US_PER_S

__all__ = ["Chunk", "ModelFacts", "RefusedError", "Reply", "Sender"]

_AGAIN: Final = frozenset({408, 429, 502, 503, 504})
_DELAY_FIRST_S: Final = 0.25
_DELAY_MAX_S: Final = 30.0
_RETRY_AFTER_MAX_S: Final = 300.0
_PATIENCE_S: Final = 600.0
"""A service that has been away for so long is not coming back by itself."""
_TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)
_FORBIDDEN: Final = 403


class RefusedError(DriftlineError):
    """The service refuses what it is asked, or cannot be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Rows of one request.

    Parameters
    ----------
    key : str
        Idempotency key.
    content_type : str
    body : bytes
    rows : int
    """

    key: str
    content_type: str
    body: bytes = field(repr=False)
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What became of the rows of a chunk.

    Parameters
    ----------
    accepted, rejected, late : int
    duplicate : bool
        That they had come before: they are not counted again.
    reasons : tuple of str
        What is wrong with the first rows and cells that were not taken as they are.
    ignored : tuple of str
        Columns that the model does not know.
    """

    accepted: int
    rejected: int
    late: int
    duplicate: bool
    reasons: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a service knows of a version: how times are read, and in which column they are (None: in none)."""

    version: str
    time_zone: str
    time_column: str | None


class Sender:
    """Speaks to one version of a model in a running service.

    Parameters
    ----------
    client : httpx.Client
        With the address of the service.
    model : str
    version : str or None
        None is the model's default version.
    sleep : callable
        Waits so many seconds.
    clock : Clock
    rng : random.Random
    on_wait : callable
        Told why and for how many seconds the service is left alone.
    """

    def __init__(
        self,
        client: httpx.Client,
        model: str,
        version: str | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        on_wait: Callable[[str, float], None] = lambda _why, _seconds: None,
    ) -> None:
        self._client = client
        self._path = f"/v1/models/{quote(model, safe='')}"
        self._version = version
        self._sleep = sleep
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311 - jitter is no secret
        self._on_wait = on_wait

    @staticmethod
    def client(url: str, key: str | None, transport: httpx.BaseTransport | None = None) -> httpx.Client:
        """Client for the service at an address."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=_TIMEOUT, transport=transport)

    def facts(self) -> ModelFacts | None:
        """What the service knows of the version; None if the key may not read it.

        Raises
        ------
        RefusedError
            There is no such model or version, or nobody answers.
        """
        answer = self._get(self._path)
        if answer is None:
            return None
        configuration = answer["configuration"]
        wanted = self._version or answer["default_version"]
        versions = {version["version"]: version for version in answer["versions"]}
        if wanted not in versions:
            raise RefusedError(f"the model has no version {wanted!r}; it has: {', '.join(versions) or 'none'}")
        columns = configuration["columns"].items()
        time_column = next((name for name, column in columns if column.get("role") == "time"), None)
        reference_id = versions[wanted]["reference_id"]
        if time_column is None and reference_id is not None:
            reference = self._get(f"{self._path}/references/{reference_id}")
            time_column = None if reference is None else reference["summary"].get("time_column")
        return ModelFacts(version=wanted, time_zone=configuration["time_zone"], time_column=time_column)

    def send(self, chunk: Chunk) -> Reply:
        """Send a chunk until it is answered for good.

        Raises
        ------
        RefusedError
        """
        waited_s = 0.0
        attempts = 0
        while True:
            answer, why = self._attempt(chunk)
            if answer is not None and answer.status_code not in _AGAIN:
                return _reply(answer)
            if waited_s > _PATIENCE_S:
                raise RefusedError(f"the service did not take rows for {_PATIENCE_S:g} s: {why}")
            delay_s = max(self._back_off_s(attempts), self._retry_after_s(answer))
            self._on_wait(why, delay_s)
            self._sleep(delay_s)
            waited_s += delay_s
            attempts += 1

    def _attempt(self, chunk: Chunk) -> tuple[httpx.Response | None, str]:
        headers = {"content-type": chunk.content_type, "idempotency-key": chunk.key}
        params = {} if self._version is None else {"version": self._version}
        try:
            answer = self._client.post(f"{self._path}/inferences", content=chunk.body, headers=headers, params=params)
        except httpx.TransportError as error:
            return None, _said(error)
        return answer, f"{answer.status_code} {answer.reason_phrase}"

    def _back_off_s(self, attempts: int) -> float:
        longest_s = min(_DELAY_FIRST_S * 2.0 ** min(attempts, 16), _DELAY_MAX_S)
        return self._rng.uniform(longest_s / 2, longest_s)

    def _retry_after_s(self, answer: httpx.Response | None) -> float:
        text = None if answer is None else answer.headers.get("retry-after")
        asked_us = parse_retry_after_us(text, self._clock.now_us()) or 0
        return min(asked_us / US_PER_S, _RETRY_AFTER_MAX_S)

    def _get(self, path: str) -> dict[str, Any] | None:
        try:
            answer = self._client.get(path)
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise RefusedError(f"no service at {self._client.base_url}: {_said(error)}") from error
        if answer.status_code == _FORBIDDEN:
            return None
        document = _document(answer)
        if not answer.is_success:
            raise RefusedError(_refusal(answer, document))
        if document is None:
            raise RefusedError(f"no Driftline at {self._client.base_url}: it answers, but not in JSON")
        return document


def _reply(answer: httpx.Response) -> Reply:
    document = _document(answer)
    if not answer.is_success or document is None:
        raise RefusedError(_refusal(answer, document))
    return Reply(
        accepted=document["accepted"],
        rejected=document["rejected"],
        late=document["late"],
        duplicate=document["duplicate"],
        reasons=tuple(map(_reason, document["errors"])),
        ignored=tuple(document.get("ignored", ())),
    )


def _reason(error: dict[str, Any]) -> str:
    column = error.get("column")
    return error["reason"] if column is None else f"column {column!r}: {error['reason']}"


def _document(answer: httpx.Response) -> dict[str, Any] | None:
    try:
        document = answer.json()
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _refusal(answer: httpx.Response, document: dict[str, Any] | None) -> str:
    detail = (document or {}).get("detail")
    said = f": {detail}" if isinstance(detail, str) else ""
    return f"the service answers {answer.status_code} {answer.reason_phrase}{said}"


def _said(error: Exception) -> str:
    if isinstance(error, httpx.ConnectTimeout | httpx.ReadTimeout | httpx.WriteTimeout):
        return "it does not answer in time"
    return "it cannot be reached" if isinstance(error, httpx.ConnectError) else "the connection broke"
