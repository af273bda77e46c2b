"""`POST /v1/models/{model}/inferences`, as raw ASGI: three times the requests of a framework's route.

Here is what the head of a request says; what becomes of the body is in `service.api.intake`.

A JSON body that has come whole needs no ASGI either: a task, an event and four messages cost more than a row. It is answered
at once, or when its rows are committed. Whatever is out of the ordinary is left to the route, which says what it is.
"""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs

from service.api.access import Access, authorize, presented_key
from service.api.intake import Intake, Sending
from service.api.problem import Problem
from service.api.raw import RawRoute
from service.api.reading import Receive, encoding_of
from service.api.response import Respond, Response, accepted, refused
from service.domain.configuration import NAME_PATTERN
from service.ingest.buffer import BufferFullError
from service.ingest.decode import BodyFormat, format_of
from service.ingest.pending import Answer
from service.ingest.schemas import Schemas
from service.ports import Clock
from service.registry.models import LiveModel, Registry

__all__ = ["ROUTE", "Inferences"]

_Scope: TypeAlias = MutableMapping[str, Any]

ROUTE: Final = "/v1/models/{model}/inferences"
_NAME: Final = re.compile(NAME_PATTERN)
_KEY: Final = re.compile(rb"[\x20-\x7e]{1,128}")
_TARGET: Final = re.compile(rb"/v1/models/([A-Za-z0-9._-]+)/inferences(?:\?([^#]*))?")
"""Targets that are written in the plainest way."""

_TARGET_BYTES_MAX: Final = 512
"""Longer ones are not remembered."""


class Inferences(RawRoute):
    """Takes rows.

    Parameters
    ----------
    registry : Registry
    intake : Intake
    schemas : Schemas
    clock : Clock
    access : Access
    begun : callable
        Returns once requests can be answered; raises `StoreUnavailableError` until then.
    unknown : callable
        Makes a model that nobody has declared, or returns None where that is not allowed.
    observe : callable
        Told of the status and the seconds of each request.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        intake: Intake,
        schemas: Schemas,
        clock: Clock,
        access: Access,
        begun: Callable[[], None],
        unknown: Callable[[str], Awaitable[LiveModel | None]],
        observe: Callable[[str, int, float], None],
    ) -> None:
        super().__init__(ROUTE, access, begun, observe)
        self._registry = registry
        self._intake = intake
        self._schemas = schemas
        self._clock = clock
        self._unknown = unknown

    def at_once(self, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes, respond: Respond) -> bool:
        """Take a POST that has come whole, and respond now or when its rows are committed; False leaves it to the route.

        What is left to the route has left no trace.
        """
        started_s = time.perf_counter()
        model, asked = _named(target)
        live = self._registry.get(model)
        if live is None:
            return False
        asker = _Asker(respond, self._observe, started_s)
        try:
            fields = dict(headers)
            authorize(self._access, presented_key(fields), "ingest", model)
            self._begun()
            if _format(fields) != "json":
                return False
            return self._intake.at_once(self._sending(asked, fields, live), body, asker)
        except BufferFullError as error:  # the rows were dropped, and counted as that
            asker.set_exception(error)
            return True
        except Exception:  # noqa: BLE001 - the route meets it again, and says what it is
            return False

    async def _response(self, scope: _Scope, fields: dict[bytes, bytes], receive: Receive, model: str) -> Response:
        live = self._registry.get(model) or await self._made(model)
        sending = self._sending(_version(scope["query_string"]), fields, live)
        return accepted(await self._intake.take(sending, _format(fields), receive))

    def _sending(self, asked: str | None, fields: dict[bytes, bytes], live: LiveModel) -> Sending:
        version = live.version(asked)
        if version is None:
            raise Problem(404, "no such version of the model: it is not declared and has no reference")
        key = fields.get(b"idempotency-key")
        if key is not None and _KEY.fullmatch(key) is None:
            raise Problem(422, "Idempotency-Key: wanted 1 to 128 printable ASCII characters")
        return Sending(
            model=live,
            version=version,
            asked_version=asked or "",
            schema=self._schemas.of(live, version),
            key=None if key is None else key.decode(),
            encoding=encoding_of(fields[b"content-encoding"].decode("latin-1"))
            if b"content-encoding" in fields
            else "identity",
            length=_length(fields.get(b"content-length")),
            received_us=self._clock.now_us(),
        )

    async def _made(self, name: str) -> LiveModel:
        if _NAME.fullmatch(name) is None:
            reason = "wanted a letter or digit, then up to 127 letters, digits, '.', '_' or '-'"
            raise Problem(422, "this cannot be the name of a model", [{"field": "model", "reason": reason}])
        live = await self._unknown(name)
        if live is None:
            raise Problem(404, "no such model; PUT it, or upload its training data to .../references")
        return live


def _format(fields: dict[bytes, bytes]) -> BodyFormat:
    if fields.get(b"content-type") == b"application/json":
        return "json"
    found = format_of(fields.get(b"content-type", b"").decode("latin-1"))
    if found is None:
        raise Problem(
            415,
            "Content-Type: wanted application/json, application/x-ndjson, text/csv, "
            "application/vnd.apache.arrow.stream or application/vnd.apache.parquet",
        )
    return found


class _Asker:
    """Responds to a request when its rows have found their fate."""

    __slots__ = ("_observe", "_respond", "_started_s")

    def __init__(self, respond: Respond, observe: Callable[[str, int, float], None], started_s: float) -> None:
        self._respond = respond
        self._observe = observe
        self._started_s = started_s

    def set_result(self, answer: Answer) -> None:
        self._end(accepted(answer))

    def set_exception(self, error: Exception) -> None:
        self._end(refused(error))

    def done(self) -> bool:
        return False  # whether its connection still stands is found when the response is written

    def _end(self, response: Response) -> None:
        self._respond(response)
        self._observe(ROUTE, response.status, time.perf_counter() - self._started_s)


def _named(target: bytes) -> tuple[str, str | None]:
    """Model and version that a target is about; no model where the route has to look at it."""
    return _kept_name(target) if len(target) <= _TARGET_BYTES_MAX else ("", None)


@lru_cache(1_024)
def _kept_name(target: bytes) -> tuple[str, str | None]:
    found = _TARGET.fullmatch(target)
    return ("", None) if found is None else (found[1].decode("ascii"), _version(found[2] or b""))


def _version(query: bytes) -> str | None:
    if not query:
        return None
    return parse_qs(query.decode("latin-1")).get("version", [None])[-1]


def _length(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None
