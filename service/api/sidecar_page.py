"""The page of a sidecar: how far behind the centre it is."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from service.api.access import authorize, presented_key
from service.api.page import page_part, page_whole

__all__ = ["SidecarDocument", "SidecarModel", "SidecarVersion", "router"]

router = APIRouter(include_in_schema=False)

_PAGE = "sidecar.html"


class SidecarVersion(BaseModel):
    """What a version is counted by."""

    version: str
    reference_id: str | None = Field(description="Null while it learns")


class SidecarModel(BaseModel):
    """A model that is in use here."""

    model: str
    versions: list[SidecarVersion]


class SidecarDocument(BaseModel):
    """How a sidecar stands."""

    version: str
    centre: str
    up: bool | None = Field(
        description="Whether the centre answered when it was last asked; null before the first time"
    )
    pending_rows: int
    oldest_pending_seconds: float
    dropped_rows: int
    last_sent: str | None
    models: list[SidecarModel]


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """The page itself."""
    return page_whole(request, _PAGE)


@router.get("/page/sidecar")
async def standing(request: Request, response: Response) -> SidecarDocument:
    """How the sidecar stands."""
    context = request.app.state.context
    authorize(context.access, presented_key(dict(request.scope["headers"])), "read", None)
    response.headers["Cache-Control"] = "no-store"
    document: SidecarDocument = context.standing()
    return document


@router.api_route("/page/{name}", methods=["GET", "HEAD"])
async def part(request: Request, name: str) -> Response:
    """A file of the page."""
    return page_part(request, name)
