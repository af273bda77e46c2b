"""The page: what is watched, and how it stands."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from service.api.context import context_of

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(request: Request) -> HTMLResponse:
    """The page."""
    return HTMLResponse(f"Driftline {context_of(request).info['version']}")
