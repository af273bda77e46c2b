"""What the routes need: one of each, made by `service.app`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from service.alerts.rules import Rules
from service.api.access import Access, Scope, authorize, presented_key
from service.api.problem import Problem
from service.evaluation.evaluators import Evaluators
from service.evaluation.provisional import Looks
from service.evaluation.trusting import Trusts
from service.ports import Clock, Store
from service.references.jobs import ReferenceJobs
from service.registry.models import LiveModel, LiveVersion, Registry

__all__ = ["Context", "ControlLimits", "allow", "context_of", "live_model", "live_version", "room_for_version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlLimits:
    """Bounds of the control plane."""

    models_max: int = 1_000
    versions_max: int = 100
    rows_exposed_min: int = 10
    json_bytes_max: int = 4 << 20
    reference_bytes_max: int = 512 << 20
    keys_kept_s: int = 86_400
    read_timeout_s: float = 30.0
    body_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Parts of the running service."""

    store: Store
    registry: Registry
    jobs: ReferenceJobs
    evaluators: Evaluators
    looks: Looks
    trusts: Trusts
    clock: Clock
    access: Access
    limits: ControlLimits
    rules: Callable[[LiveModel], Rules]
    targets: frozenset[str]
    begun: Callable[[], None]
    """Returns once requests can be answered; raises `StoreUnavailableError` with the reason until then."""
    ready: Callable[[], Awaitable[str | None]]
    """Why the service is not ready; None if it is."""
    metrics: Callable[[str], Awaitable[tuple[bytes, str]]]
    """Exposition for an `Accept` header, and its content type."""
    on_notices: Callable[[], None]
    forget: Callable[[str], None]
    """A model is gone."""
    info: dict[str, Any]


def context_of(request: Request) -> Context:
    """The context of the running service."""
    context: Context = request.app.state.context
    return context


def allow(request: Request, scope: Scope, model: str | None = None) -> Context:
    """The context, if the request may do this.

    Raises
    ------
    Problem
    """
    context = context_of(request)
    authorize(context.access, presented_key(dict(request.scope["headers"])), scope, model)
    return context


def live_model(context: Context, model: str) -> LiveModel:
    """A model by its name.

    Raises
    ------
    Problem
        404.
    """
    live = context.registry.get(model)
    if live is None:
        raise Problem(404, "no such model")
    return live


def room_for_version(context: Context, model: LiveModel, version: str) -> None:
    """Return if a model may have this version.

    Raises
    ------
    Problem
        409: it has as many as the limit allows.
    """
    versions_max = context.limits.versions_max
    if version not in model.versions and len(model.versions) >= versions_max:
        raise Problem(409, f"the model has {versions_max:,} versions already, as many as the limit allows")


def live_version(model: LiveModel, version: str | None) -> LiveVersion:
    """A version by its name, or the default one.

    Raises
    ------
    Problem
        404.
    """
    found = model.version(version)
    if found is None:
        raise Problem(404, "no such version of the model")
    return found
