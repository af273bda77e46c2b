"""Notices: `driftline.notice/1`, their ids, and their place in the outbox.

The id of a notice is derived from what it is about, so that a recomputation gives the same and a receiver that has seen it
can drop it. A notice stays small whatever it is about: receivers of Standard Webhooks need take no more than 20 kB, and what
is left of that here is for an envelope.

References
----------
.. [1] Standard Webhooks, specification 1.0, "Payload structure": payloads under 20 kB.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import msgspec

from service.alerts.decision import Subject
from service.domain.targets import NoticeKind
from service.ports import OutboxNotice

__all__ = [
    "NOTICE_FORMAT",
    "About",
    "Resolution",
    "derived_id",
    "evidence_of",
    "instant",
    "make_test_notice",
    "notice_document",
    "outbox_notices",
]

NOTICE_FORMAT: Final = "driftline.notice/1"
Resolution = Literal["stable", "reference_changed", "by_hand"]

COLUMNS_MAX: Final = 20
_MOVED_MAX: Final = 3  # bins of a column; all of them are in the evaluation
_LABEL_MAX: Final = 100  # characters of a bin's label: categories may be long
_COLUMNS_BYTES_MAX: Final = 17_000  # of 20,000; the rest is at most 1.5 kB of names and links, and an envelope
_DIGITS: Final = 6  # of a number: nobody reads more in a message
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_QUOTED: Final = (
    "window",
    "scale",
    "verdict",
    "tier",
    "calibration",
    "false_alarms_per_30d",
    "budget_per_30d",
    "replayed_false_alarms_per_30d",
    "rows",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What notices of one step have in common.

    Parameters
    ----------
    subject : Subject
    reference_id : str or None
    at_us : int
    evidence : mapping of str to object
        What `evidence_of` quoted.
    public_url : str
    """

    subject: Subject
    reference_id: str | None
    at_us: int
    evidence: Mapping[str, Any]
    public_url: str = ""


def instant(time_us: int) -> str:
    """RFC 3339 in UTC with `Z`; a fraction only where there is one."""
    return (_EPOCH + timedelta(microseconds=time_us)).replace(tzinfo=None).isoformat() + "Z"


def derived_id(prefix: str, *parts: str | int) -> str:
    """Id that is the same whenever the parts are."""
    return f"{prefix}_{hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]}"


def evidence_of(evaluation: Mapping[str, Any] | None) -> dict[str, Any]:
    """Quote an evaluation: its window and verdict, and the drifted columns, strongest first, as far as they fit.

    `columns_drifted` is how many there are.
    """
    if evaluation is None:
        return dict.fromkeys(_QUOTED) | {"columns": [], "columns_drifted": 0}
    drifted = [
        {"name": name} | column for name, column in evaluation["columns"].items() if column["verdict"] == "drifted"
    ]
    drifted.sort(key=lambda column: (_or(column["pvalue"], 1.0), -_or(column["effect"], 0.0), column["name"]))
    quoted = {name: _short(evaluation.get(name)) for name in _QUOTED}
    return quoted | {"columns": _fitting(drifted), "columns_drifted": len(drifted)}


def notice_document(
    kind: NoticeKind,
    about: About,
    *,
    notice_id: str,
    sequence: int,
    episode_id: str | None,
    reason: Resolution | None = None,
    watch: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A notice as `driftline.notice/1`; `watch` is what the watchdog says, where it is about that."""
    subject = about.subject
    return {
        "format": NOTICE_FORMAT,
        "id": notice_id,
        "sequence": sequence,
        "kind": kind,
        "reason": reason,
        "episode_id": episode_id,
        "model": subject.model,
        "version": subject.version,
        "segment": subject.segment or None,
        "reference_id": about.reference_id,
        "at": instant(about.at_us),
        **about.evidence,
        "watch": watch,
        "links": _links(about),
    }


def outbox_notices(
    document: Mapping[str, Any], targets: Iterable[str], *, order_key: str, created_at_us: int
) -> tuple[OutboxNotice, ...]:
    """Put a notice into the outbox once a target."""
    notice = msgspec.json.encode(document)
    return tuple(
        OutboxNotice(
            id=f"{document['id']}:{target}",
            target=target,
            order_key=order_key,
            sequence=document["sequence"],
            model=document["model"],
            created_at_us=created_at_us,
            notice=notice,
        )
        for target in targets
    )


def make_test_notice(target: str, at_us: int, nonce: str, public_url: str = "") -> dict[str, Any]:
    """Make a notice that says only that notices arrive; each has its own nonce."""
    subject = Subject(model="driftline-test", version="1")
    about = About(
        subject=subject, reference_id=None, at_us=at_us, evidence=evidence_of(None), public_url=public_url.rstrip("/")
    )
    notice_id = derived_id("ntc", "test", target, at_us, nonce)
    return notice_document("test", about, notice_id=notice_id, sequence=1, episode_id=None)


def _links(about: About) -> dict[str, str]:
    model, window = quote(about.subject.model), about.evidence["window"]
    span = {"version": about.subject.version}
    if window is not None and window["start"] is not None:
        span |= {"since": window["start"], "until": window["end"]}
    return {
        "evaluation": f"{about.public_url}/v1/models/{model}/evaluations?{urlencode(span)}",
        "page": f"{about.public_url}/?{urlencode({'model': about.subject.model, 'version': about.subject.version})}",
    }


def _fitting(columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    fitting: list[dict[str, Any]] = []
    left_bytes = _COLUMNS_BYTES_MAX
    for column in columns[:COLUMNS_MAX]:
        short = _short(column | {"moved": [_labelled(moved) for moved in column["moved"][:_MOVED_MAX]]})
        left_bytes -= len(msgspec.json.encode(short)) + 1
        if left_bytes < 0:
            break
        fitting.append(short)
    return fitting


def _labelled(moved: Mapping[str, Any]) -> dict[str, Any]:
    label = moved["bin"]
    return {**moved, "bin": label if len(label) <= _LABEL_MAX else label[: _LABEL_MAX - 1] + "\u2026"}


def _short(value: Any) -> Any:
    """Round the numbers in a document."""
    match value:
        case float():
            return float(f"{value:.{_DIGITS}g}")
        case Mapping():
            return {key: _short(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_short(inner) for inner in value]
        case _:
            return value


def _or(number: float | None, otherwise: float) -> float:
    return otherwise if number is None else number
