"""`POST /v1/models/{model}/inferences`, as raw ASGI: three times the requests of a framework's route.

Here is what the head of a request says, and what is answered; what becomes of the body is in `service.api.intake`.
"""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs

import structlog

from service.api.access import Access, authorize, presented_key
from service.api.intake import Intake, Sending
from service.api.problem import CONTENT_TYPE, Problem, problem_of
from service.api.reading import Disconnected, Receive, encoding_of
from service.domain.configuration import NAME_PATTERN
from service.errors import DriftlineError
from service.ingest.decode import format_of
from service.ingest.pending import Answer
from service.ingest.schemas import Schemas
from service.ports import Clock
from service.registry.models import LiveModel, Registry

__all__ = ["ROUTE", "Inferences"]

_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ROUTE: Final = "/v1/models/{model}/inferences"
_PREFIX, _SUFFIX = ROUTE.split("{model}")
_NAME: Final = re.compile(NAME_PATTERN)
_KEY: Final = re.compile(rb"[\x20-\x7e]{1,128}")
_JSON: Final = (b"content-type", b"application/json")
_GONE_STATUS: Final = 499
"""What the sender of a request that was cut off is counted as; nobody is answered it."""


class Inferences:
    """Takes rows.

    Parameters
    ----------
    registry : Registry
    intake : Intake
    schemas : Schemas
    clock : Clock
    access : Access
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
        unknown: Callable[[str], Awaitable[LiveModel | None]],
        observe: Callable[[str, int, float], None],
    ) -> None:
        self._registry = registry
        self._intake = intake
        self._schemas = schemas
        self._clock = clock
        self._access = access
        self._unknown = unknown
        self._observe = observe

    @staticmethod
    def model_of(path: str) -> str | None:
        """The model that a path is about, if it is this route's."""
        if path.startswith(_PREFIX) and path.endswith(_SUFFIX):
            name = path[len(_PREFIX) : -len(_SUFFIX)]
            return name if name and "/" not in name else None
        return None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: _Send, model: str) -> None:
        """Answer one request."""
        started = time.perf_counter()
        headers = [_JSON]
        try:
            status, body = 200, (await self._take(scope, receive, model)).body()
        except Disconnected:
            self._observe(ROUTE, _GONE_STATUS, time.perf_counter() - started)
            return
        except (Problem, DriftlineError) as error:
            problem = error if isinstance(error, Problem) else problem_of(error)
            status, body = problem.status, problem.body()
            headers = [(b"content-type", CONTENT_TYPE.encode())]
            headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
        except Exception as error:  # noqa: BLE001 - the last line of defence
            structlog.get_logger().exception("request failed", route="inferences", error=type(error).__name__)
            status, body = 500, Problem(500, "internal error; the log has more").body()
            headers = [(b"content-type", CONTENT_TYPE.encode())]
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._observe(ROUTE, status, time.perf_counter() - started)

    async def _take(self, scope: MutableMapping[str, Any], receive: Receive, model: str) -> Answer:
        if scope["method"] != "POST":
            raise Problem(405, "wanted POST", headers={"Allow": "POST"})
        fields: dict[bytes, bytes] = dict(scope["headers"])
        authorize(self._access, presented_key(fields), "ingest", model)
        request = await self._request(scope, fields, model)
        kind = format_of(fields.get(b"content-type", b"").decode("latin-1"))
        if kind is None:
            raise Problem(
                415,
                "Content-Type: wanted application/json, application/x-ndjson, text/csv, "
                "application/vnd.apache.arrow.stream or application/vnd.apache.parquet",
            )
        return await self._intake.take(request, kind, receive)

    async def _request(self, scope: MutableMapping[str, Any], fields: dict[bytes, bytes], name: str) -> Sending:
        live = self._registry.get(name) or await self._made(name)
        asked = _version(scope["query_string"])
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


def _version(query: bytes) -> str | None:
    if not query:
        return None
    return parse_qs(query.decode("latin-1")).get("version", [None])[-1]


def _length(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None
