"""The page: what is watched, and how it stands. Static files that read the JSON API, and what they need to know besides.

Browsers are told to trust nothing but these files: no inline script or style, no other origin, no frame, and with Trusted Types
no markup made of strings, so that a hostile name stays text even if a view forgets that it is one.

References
----------
.. [1] W3C, "Content Security Policy Level 3" and "Trusted Types".
.. [2] RFC 9110, 13.1.2 `If-None-Match`.
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final, Literal, get_args

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from service.api.access import Scope, presented_key
from service.api.context import context_of
from service.api.problem import Problem

__all__ = ["page_part", "page_whole", "router"]

router = APIRouter(include_in_schema=False)

_INDEX: Final = "index.html"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {
    "Cache-Control": "no-cache",  # keep it, and ask each time: after an update no file must be of the release before
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    content: bytes
    media_type: str

    @property
    def etag(self) -> str:
        return f'"{sha256(self.content).hexdigest()[:32]}"'


class ServiceDocument(BaseModel):
    """What the page has to know of the service and of its reader's key."""

    version: str
    rows_exposed_min: int
    access: dict[Scope, Literal["ok", "unknown", "forbidden"]]


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """The page itself."""
    return page_whole(request, _INDEX)


@router.get("/page/service")
async def service_facts(request: Request, response: Response) -> ServiceDocument:
    """What the reader's key opens, over all models; tells nothing of them."""
    context = context_of(request)
    key = presented_key(dict(request.scope["headers"]))
    scopes: tuple[Scope, ...] = get_args(Scope)
    response.headers["Cache-Control"] = "no-store"
    return ServiceDocument(
        version=context.info["version"],
        rows_exposed_min=context.limits.rows_exposed_min,
        access={scope: context.access.allowed(key, scope, None) for scope in scopes},
    )


@router.api_route("/page/{name}", methods=["GET", "HEAD"])
async def part(request: Request, name: str) -> Response:
    """A file of the page."""
    return page_part(request, name)


def page_whole(request: Request, name: str) -> Response:
    """The answer with a page."""
    return _answer(request, _filled(name, request.scope.get("root_path", "")))


def page_part(request: Request, name: str) -> Response:
    """The answer with a file that pages are made of.

    Raises
    ------
    Problem
        404.
    """
    found = _bundle().get(name)
    if found is None or name.endswith(".html"):
        raise Problem(404, "the page has no such file")
    return _answer(request, found)


@cache
def _bundle() -> Mapping[str, _File]:
    """The files that may be asked for, by name: a closed list, so that no name is ever a path."""
    folder = files("service.page")
    return {
        item.name: _File(content=item.read_bytes(), media_type=_TYPES[suffix])
        for item in folder.iterdir()
        if (suffix := item.name[item.name.rfind(".") :]) in _TYPES
    }


@cache
def _filled(name: str, root_path: str) -> _File:
    """A page for a service that a proxy publishes under a path, which is one of the settings."""
    index = _bundle()[name]
    root = html.escape(root_path.rstrip("/")).encode()
    return _File(content=index.content.replace(b"{root}", root), media_type=index.media_type)


def _answer(request: Request, file: _File) -> Response:
    headers = _HEADERS | {"ETag": file.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if known & {file.etag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
