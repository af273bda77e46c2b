"""Alert episodes: what was found, who has seen it, and what became of it."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from service.alerts.documents import Episode, changed, decode_episode, episode_row
from service.alerts.manual import acknowledge, report_outcome, resolve, silence
from service.alerts.state import AlertState, decode_state, encode_state
from service.api.context import Context, allow, context_of, live_model
from service.api.problem import Problem
from service.domain.durations import Duration, parse_duration_s
from service.ports import AlertChange, EpisodeRow, OutboxNotice
from service.windows.zones import US_PER_S

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["episodes"])

_LIMIT_MAX = 1_000


class EpisodeList(BaseModel):
    """Episodes (`driftline.episode/1`), the latest first."""

    episodes: list[dict[str, Any]]


class Acknowledgement(BaseModel):
    """Who has seen it."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field(min_length=1, max_length=128)


class Silencing(BaseModel):
    """For how long it is to send no notices."""

    model_config = ConfigDict(extra="forbid")

    duration: Duration = Field(alias="for")


class OutcomeReport(BaseModel):
    """What a pipeline says of its retraining."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["started", "succeeded", "failed"]
    link: str | None = Field(default=None, max_length=2_048, pattern="^https?://")


@router.get("/episodes")
async def list_episodes(
    request: Request,
    model: Annotated[str | None, Query(max_length=128)] = None,
    open: Annotated[bool, Query(description="Only open ones")] = False,  # noqa: A002, FBT002 - the name in the URL
    limit: Annotated[int, Query(ge=1, le=_LIMIT_MAX)] = 100,
) -> EpisodeList:
    """Alert episodes."""
    context = allow(request, "read", model)
    rows = await context.store.episodes(model=model, open_only=open, limit=limit)
    return EpisodeList(episodes=[msgspec.json.decode(row.document) for row in rows])


@router.get("/episodes/{episode_id}")
async def get_episode(request: Request, episode_id: str) -> dict[str, Any]:
    """One of them."""
    _, row = await _row(request, episode_id, "read")
    return _plain(row.document)


@router.post("/episodes/{episode_id}/acknowledge")
async def acknowledge_episode(request: Request, episode_id: str, wanted: Acknowledgement) -> dict[str, Any]:
    """Say that somebody has seen it, and takes it for drift."""
    context, row, now_us = await _asked(request, episode_id)
    revision, state = await _state(context, row)
    after, episode = acknowledge(state, decode_episode(row.document), wanted.by, now_us)
    return await _put(context, row, episode, _change(row, revision, state, after))


@router.post("/episodes/{episode_id}/outcome")
async def report_episode_outcome(request: Request, episode_id: str, wanted: OutcomeReport) -> dict[str, Any]:
    """Say what became of a retraining; the same once more changes nothing."""
    context, row, now_us = await _asked(request, episode_id)
    revision, state = await _state(context, row)
    after, episode = report_outcome(state, decode_episode(row.document), wanted.state, wanted.link, now_us)
    return await _put(context, row, episode, _change(row, revision, state, after))


@router.post("/episodes/{episode_id}/silence")
async def silence_episode(request: Request, episode_id: str, wanted: Silencing) -> dict[str, Any]:
    """Have it send no notices for a while."""
    context, row, now_us = await _asked(request, episode_id)
    until_us = now_us + parse_duration_s(wanted.duration) * US_PER_S
    revision, state = await _state(context, row)
    after, episode = silence(state, decode_episode(row.document), until_us)
    return await _put(context, row, episode, _change(row, revision, state, after))


@router.post("/episodes/{episode_id}/resolve")
async def resolve_episode(request: Request, episode_id: str, wanted: Acknowledgement) -> dict[str, Any]:
    """Close it by hand."""
    context, row, now_us = await _asked(request, episode_id)
    revision, state = await _state(context, row)
    episode = decode_episode(row.document)
    step = resolve(state, episode, wanted.by, context.rules(live_model(context, row.model)), now_us)
    for change in step.changes:
        episode = changed(episode, change)
    done = await _put(context, row, episode, _change(row, revision, state, step.state), step.notices)
    if step.notices:
        context.on_notices()
    return done


async def _row(request: Request, episode_id: str, scope: Literal["read", "admin"]) -> tuple[Context, EpisodeRow]:
    # Which model it is of only the store knows; a key that is bound to models is asked for that one.
    row = await context_of(request).store.episode(episode_id)
    context = allow(request, scope, None if row is None else row.model)
    if row is None:
        raise Problem(404, "no such episode")
    return context, row


async def _asked(request: Request, episode_id: str) -> tuple[Context, EpisodeRow, int]:
    context, row = await _row(request, episode_id, "admin")
    return context, row, await context.store.now_us()


async def _state(context: Context, row: EpisodeRow) -> tuple[int, AlertState]:
    revision, document = await context.store.alert(row.model, row.version) or (0, None)
    return revision, decode_state(document)


def _change(row: EpisodeRow, revision: int, before: AlertState, after: AlertState) -> AlertChange | None:
    if before == after:
        return None
    return AlertChange(version=row.version, revision=revision, document=encode_state(after))


async def _put(
    context: Context,
    row: EpisodeRow,
    episode: Episode,
    alert: AlertChange | None = None,
    notices: Sequence[OutboxNotice] = (),
) -> dict[str, Any]:
    made = episode_row(episode, row.opened_at_us, row.revision)
    if not await context.store.put_episode(made, alert, notices):
        raise Problem(409, "the episode was changed at the same time; read it again")
    return _plain(made.document)


def _plain(document: bytes) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(document)
    return plain
