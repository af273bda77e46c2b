"""From a notice to a request. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import msgspec

from service.webhooks.signature import signed_headers
from service.webhooks.target import Target

__all__ = ["OutgoingRequest", "request_of"]

_PATH: Final = re.compile(r"\{([a-z_]+(?:\.[a-z_]+)*)\}")
_RETRAIN_TYPE: Final = "driftline.retrain"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingRequest:
    """What one attempt sends."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes


def request_of(target: Target, notice: Mapping[str, Any], timestamp_s: int) -> OutgoingRequest:
    """Request of a notice to a target.

    Raises
    ------
    KeyError
        The notice lacks what the preset names.
    """
    preset = target.preset
    context = context_of(target, notice)
    body = msgspec.json.encode(rendered(preset.body, context))
    headers = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "driftline", **preset.headers}
    headers |= {name.lower(): value for name, value in target.headers.items()}
    if target.token is not None:
        headers |= preset.authentication(target.token)
    if preset.signed:
        headers |= signed_headers(target.keys, notice["id"], timestamp_s, body)
    return OutgoingRequest(method=preset.method, url=rendered(preset.url, context), headers=headers, body=body)


def context_of(target: Target, notice: Mapping[str, Any]) -> dict[str, Any]:
    """What templates may name: the notice; of the target what is no secret; the event's type and source."""
    kind = notice["kind"]
    # Only a retrain notice has the type that a workflow is started by: a resolved episode must not retrain.
    event_type = (target.event_type or _RETRAIN_TYPE) if kind == "retrain" else f"driftline.{kind}"
    evaluations, _, _ = notice["links"]["evaluation"].partition("/v1/models/")
    return {
        "notice": notice,
        "target": {"url": target.url.rstrip("/") if target.repository else target.url, "repository": target.repository},
        "event_type": event_type,
        "source": f"{evaluations}/v1/models/{quote(notice['model'])}",
    }


def rendered(template: Any, context: Mapping[str, Any]) -> Any:
    """Fill a template in."""
    if isinstance(template, Mapping):
        return {key: rendered(inner, context) for key, inner in template.items()}
    whole = _PATH.fullmatch(template)
    if whole:
        return _value(whole[1], context)
    return _PATH.sub(lambda found: str(_value(found[1], context)), template)


def _value(path: str, context: Mapping[str, Any]) -> Any:
    value: Any = context
    for name in path.split("."):
        value = value[name]
    return value
