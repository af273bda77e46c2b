"""Presets: how each kind of receiver is called, as data.

A further receiver is a further row. Strings of a template may hold `{paths}`: one that is nothing else becomes the value itself,
others become text. What may be named is in `payloads.context_of`. Values are never looked at again, so that what stands in a
notice cannot name anything.

References
----------
.. [1] Standard Webhooks, specification 1.0, "Operational considerations": everything but 2xx and 410 is tried again.
.. [2] CloudEvents, "HTTP 1.1 Web Hooks for Event Delivery" 1.0.2, section 2.2.
.. [3] GitHub REST API 2022-11-28, "Create a repository dispatch event": 204; at most 10 members in `client_payload`, below
   64 KB; 403 and 429 may be rate limits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["GONE", "PRESETS", "Preset"]

GONE: Final = 410
"""Wherever it comes from, it means: never again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A kind of receiver.

    Parameters
    ----------
    method, url : str
        `url` is a template.
    headers : mapping of str to str
    body : template
        Of JSON.
    success, permanent : container of int
        Statuses that end a delivery well and badly; all others, redirects too, are tried again.
    authentication : callable
        Headers of a token.
    signed : bool
        Whether the headers of Standard Webhooks are sent.
    """

    url: str
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    success: range | frozenset[int] = range(200, 300)
    permanent: frozenset[int] = frozenset()
    authentication: Callable[[str], Mapping[str, str]]
    signed: bool = True


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


PRESETS: Final[Mapping[str, Preset]] = {
    "generic.plain": Preset(
        url="{target.url}",
        headers={"content-type": "application/json"},
        body="{notice}",
        authentication=_bearer,
    ),
    "generic.cloudevents": Preset(
        url="{target.url}",
        headers={"content-type": "application/cloudevents+json; charset=utf-8"},
        body={
            "specversion": "1.0",
            "id": "{notice.id}",
            "source": "{source}",
            "type": "driftline.{notice.kind}.v1",
            "subject": "{notice.model}",
            "time": "{notice.at}",
            "datacontenttype": "application/json",
            "data": "{notice}",
        },
        permanent=frozenset({400, 401, 403, 404, 415}),
        authentication=_bearer,
    ),
    "github.plain": Preset(
        url="{target.url}/repos/{target.repository}/dispatches",
        headers={
            "content-type": "application/json",
            "accept": "application/vnd.github+json",
            "x-github-api-version": "2022-11-28",
        },
        body={
            "event_type": "{event_type}",
            # Ten members are what GitHub takes.
            "client_payload": {
                "id": "{notice.id}",
                "kind": "{notice.kind}",
                "episode_id": "{notice.episode_id}",
                "model": "{notice.model}",
                "version": "{notice.version}",
                "segment": "{notice.segment}",
                "reference_id": "{notice.reference_id}",
                "window": "{notice.window}",
                "links": "{notice.links}",
                "notice": "{notice}",
            },
        },
        permanent=frozenset({401, 404, 422}),
        authentication=_bearer,
        signed=False,
    ),
}
