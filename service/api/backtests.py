"""A proposed policy on stored counts."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.context import Context, allow, live_model, live_version
from service.api.instants import instant_of, span_of
from service.api.models import ModelName
from service.api.problem import Problem
from service.backtest.backtest import Backtest
from service.backtest.proposal import proposed
from service.domain.configuration import Name, PolicyConfiguration
from service.evaluation.spans import by_window
from service.ports import Pane, Progress
from service.registry.models import LiveModel, LiveVersion
from service.windows.watermark import watermark_us

__all__ = ["router"]

router = APIRouter(prefix="/v1/models/{model}", tags=["evaluations"])

_WINDOWS_MAX: Final = 2_500
"""Three months of hours, or nine days of five minutes."""

_AT_ONCE: Final = 24
"""Base windows between which a service that is stopped can let go."""

_FOREVER_US: Final = 1 << 62
_Budget = Annotated[float, Field(gt=0, le=1000)]


class BacktestRequest(BaseModel):
    """What is to be tried: settings of the policy that are not given stay as they are."""

    model_config = ConfigDict(extra="forbid")

    version: Name | None = None
    policy: PolicyConfiguration | None = Field(default=None, description="only the settings that are given are changed")
    budget: _Budget | None = Field(default=None, description="false alarms that 30 days may have")
    since: str | None = Field(default=None, max_length=64, description="base windows that start from here on")
    until: str | None = Field(default=None, max_length=64, description="and end before this")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """Panes of one reference by base window: those that are tried, those before them that larger windows hold, and the rest."""

    before: Sequence[Pane]
    tried: Sequence[Pane]
    left_out: Mapping[str, int]


@router.post("/backtests", response_model=dict[str, Any])
async def backtest(request: Request, model: ModelName, wanted: BacktestRequest) -> Response:
    """The alarms, notices and retrainings that a policy would have raised on stored counts; nothing is recorded."""
    context = allow(request, "read", model)
    live = live_model(context, model)
    version = live_version(live, wanted.version)
    if version.learning:
        raise Problem(409, "the version has no reference yet: it is still learning from its first rows")
    running: asyncio.Lock = request.app.state.backtests
    async with running:  # one at a time: the service has other things to do
        stored = await _stored(context, live, version, wanted)
        trial = proposed(live, _policy(live, wanted))
        made = await asyncio.to_thread(
            lambda: Backtest(trial, version.version, rows_exposed_min=context.limits.rows_exposed_min)
        )
        for pane in stored.before:
            made.know(pane)
        waiting = iter(stored.tried)
        while some := list(islice(waiting, _AT_ONCE)):
            await asyncio.to_thread(_take, made, some)
        body = await asyncio.to_thread(_body, made, stored)
    return Response(body, media_type="application/json")


def _take(made: Backtest, panes: Sequence[Pane]) -> None:
    for pane in panes:
        made.take(pane)


def _body(made: Backtest, stored: _Stored) -> bytes:
    # By msgspec: a threshold may be infinite, and is null then.
    return msgspec.json.encode(made.document(rejected_rows=None, ignored=[], errors={}, left_out=stored.left_out))


def _policy(live: LiveModel, wanted: BacktestRequest) -> PolicyConfiguration:
    policy = live.configuration.policy
    if wanted.policy is not None:
        policy = policy.model_copy(
            update={name: getattr(wanted.policy, name) for name in wanted.policy.model_fields_set}
        )
    if wanted.budget is not None:
        policy = policy.model_copy(update={"false_alarms_per_30d": wanted.budget})
    return policy


async def _stored(context: Context, live: LiveModel, version: LiveVersion, wanted: BacktestRequest) -> _Stored:
    """What is stored of the span that is asked for, as far as its base windows are closed."""
    first_us, last_us = await _span_us(context, live, version, wanted)
    active = version.since[-1].reference
    series = {since.reference.id: version.series(since.reference.id) for since in version.since}
    windows = {
        reference_id: await context.store.rows_by_window(one, first_us, last_us) for reference_id, one in series.items()
    }
    tried = len(windows[active.id])
    if tried > _WINDOWS_MAX:
        reason = f"wanted a span of at most {_WINDOWS_MAX:,} base windows; there are {tried:,}"
        raise Problem(422, f"since: {reason}", [{"field": "since", "reason": reason}])
    others = [window for reference_id, some in windows.items() if reference_id != active.id for window in some]
    from_us = live.grid.back(first_us, max(live.configuration.scales)) if first_us > -_FOREVER_US else first_us
    panes = await context.store.panes(series[active.id], from_us, last_us)
    whole = await asyncio.to_thread(by_window, panes)
    return _Stored(
        before=[pane for pane in whole if pane.start_us < first_us],
        tried=[pane for pane in whole if pane.start_us >= first_us],
        left_out={"windows": len(others), "rows": sum(rows for _, rows in others)},
    )


async def _span_us(context: Context, live: LiveModel, version: LiveVersion, wanted: BacktestRequest) -> tuple[int, int]:
    """Starts of the first base window and of the one after the last."""
    if wanted.since is not None and wanted.until is not None:
        span_of(wanted.since, wanted.until, live)  # refuses one that ends before it begins
    first_us = -_FOREVER_US
    if wanted.since is not None:
        since_us = instant_of("since", wanted.since, live)
        start_us = live.grid.base_start(since_us)
        first_us = start_us if start_us == since_us else live.grid.base_end(start_us)
    last_us = await _closed_until_us(context, live, version)
    if wanted.until is not None:
        last_us = min(last_us, live.grid.base_start(instant_of("until", wanted.until, live)))
    return first_us, last_us


async def _closed_until_us(context: Context, live: LiveModel, version: LiveVersion) -> int:
    progress: Progress | None = next(
        (one for one in await context.store.progress(live.model) if one.version == version.version), None
    )
    if progress is None:
        return -_FOREVER_US
    now_us = await context.store.now_us()
    return live.grid.closed_until(watermark_us(progress, now_us, live.lateness))
