"""A build in a process of its own: `python -m service.references.worker`.

A build of a large upload takes minutes of CPU and hundreds of megabytes. In a process of its own it slows down nobody who
sends rows, and leaves no memory behind. The request comes as JSON on standard input; answers are lines of JSON on standard
output: `{"stage", "done_bytes", "total_bytes"}`, and at last `{"ready": {...}}` or `{"failed": "why"}`.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from detectors.errors import ReferenceFormatError
from detectors.reference import Reference, reference_id
from service.calibration.settings import CalibrationSettings
from service.calibration.trusts import trust_document, without_calibration
from service.domain.declarations import ColumnDeclaration
from service.domain.durations import zone_of
from service.errors import DriftlineError
from service.formats import open_source
from service.references.build import BuildRequest, Built, build_reference
from service.references.declare import Declarations
from service.references.infer import Overrides
from service.references.provenance import provenance_of
from service.registry.reference_file import write_reference
from service.windows.times import parse_instant

__all__ = ["BuildOrder", "main", "summary_of"]


class BuildOrder(msgspec.Struct, kw_only=True, frozen=True):
    """What to build of which file, and where to put it."""

    data: str
    name: str
    output: str
    model: str
    version: str
    created_at: str
    time_zone: str
    window: str
    columns: dict[str, dict[str, str | None]]
    time_column: str | None = None
    outputs: Sequence[str] = ()
    ignore: Sequence[str] = ()
    since: str | None = None
    until: str | None = None
    calibration: CalibrationSettings = msgspec.field(default_factory=CalibrationSettings)
    budget_per_30d: float = 1.0


def main() -> int:
    """Build what standard input asks for; 0 also when the data is refused: that is an answer, too."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=BuildOrder)
    try:
        built = _build(order)
        write_reference(built.reference, Path(order.output))
    except (DriftlineError, ReferenceFormatError) as error:
        # The upload lies in a file whose name means nothing to its sender.
        _say({"failed": str(error).replace(order.data, order.name).replace(Path(order.data).name, order.name)})
        return 0
    trust = (
        without_calibration(built.reference)
        if built.calibration is None
        else built.calibration.trust(order.budget_per_30d)
    )
    summary = summary_of(built.reference, trust_document(trust, order.budget_per_30d))
    _say({"ready": summary | {"rejected": built.rejected, "findings": _findings(built)}})
    return 0


def summary_of(reference: Reference, calibration: Mapping[str, Any] | None) -> dict[str, Any]:
    """What lists say of a reference; of its calibration what was known when it was made."""
    blocks = reference.blocks
    return {
        "reference_id": reference_id(reference),
        "rows": reference.rows,
        "columns": len(reference.columns),
        "window": reference.window,
        "time_zone": reference.time_zone,
        "time_column": reference.time_column,
        "windows": 0 if blocks is None else int(blocks.starts_s.size),
        "calibration": calibration,
    }


def _build(order: BuildOrder) -> Built:
    zone = zone_of(order.time_zone)
    source = open_source([Path(order.data)])
    declarations = Declarations(
        time_zone=order.time_zone,
        columns={name: ColumnDeclaration.model_validate(column) for name, column in order.columns.items()},
    )
    provenance = provenance_of(source.files, [Path(order.data)], None)
    files = provenance.get("files")
    if isinstance(files, list):
        provenance = {"files": [file | {"name": order.name} for file in files]}
    request = BuildRequest(
        model=order.model,
        version=order.version,
        declarations=declarations,
        overrides=Overrides(time_column=order.time_column, outputs=order.outputs, ignore=order.ignore),
        window=order.window,
        since_us=None if order.since is None else parse_instant(order.since, zone),
        until_us=None if order.until is None else parse_instant(order.until, zone),
        created_at=order.created_at,
        provenance=provenance,
        calibration=order.calibration,
    )
    last = [-1]

    def report(stage: str, done: int) -> None:
        percent = done * 100 // max(1, source.size_bytes)
        if percent != last[0]:
            last[0] = percent
            _say({"stage": stage, "done_bytes": done, "total_bytes": source.size_bytes})

    return build_reference(source, request, report)


def _findings(built: Built) -> list[dict[str, Any]]:
    return [
        {"name": item.name, "role": item.role, "kind": item.kind, "declared": item.declared, "note": item.note}
        for item in built.findings
    ]


def _say(document: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(document) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
