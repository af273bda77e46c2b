"""Training data to a reference: look at the head, survey the values, count the rows."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from detectors.columns import Role
from detectors.reference import Builder, Reference, add_all, plan_of, priorities, sample_rows_for, survey_of
from detectors.reference.survey import SAMPLE_BYTES
from service.calibration.calibrated import Calibrated, with_replay
from service.calibration.parallel import mapper_for
from service.calibration.settings import CalibrationSettings
from service.domain import Batch
from service.domain.durations import zone_of
from service.errors import DeclarationError, InputError
from service.formats import Source
from service.references.declare import Declarations
from service.references.infer import HEAD_CELLS, HEAD_ROWS, Finding, Overrides, infer
from service.references.rows import Span, timed_rows
from service.windows.times import parse_duration_s, window_starts

__all__ = ["BuildRequest", "Built", "Stage", "build_reference"]

Stage = Literal["surveying", "counting", "replaying"]

_SEED = 20110101  # any number, but always the same: the same data gives the same reference


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build.

    Parameters
    ----------
    model, version : str
    declarations : Declarations
    overrides : Overrides
    window : str
        Base window, such as `1h`.
    since_us, until_us : int or None
        From and before; microseconds since the epoch.
    created_at : str
        RFC 3339.
    provenance : mapping
    calibration : CalibrationSettings
        What its days are replayed with.
    sample_bytes : int
        Memory for the samples of columns that do not fit.
    """

    model: str
    version: str
    declarations: Declarations
    overrides: Overrides = field(default_factory=Overrides)
    window: str = "1h"
    since_us: int | None = None
    until_us: int | None = None
    created_at: str
    provenance: Mapping[str, object]
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)
    sample_bytes: int = SAMPLE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A reference, and what was found while building it."""

    reference: Reference
    findings: Sequence[Finding]
    rejected: int
    calibration: Calibrated | None = None


def build_reference(source: Source, request: BuildRequest, on_progress: Callable[[Stage, int], None]) -> Built:
    """Build a reference.

    Parameters
    ----------
    source : Source
        Read twice, after its first rows.
    request : BuildRequest
    on_progress : callable
        Called with the stage and the bytes of input that it has read.

    Returns
    -------
    Built

    Raises
    ------
    DeclarationError
        Declarations and data do not go together.
    InputError
        The data cannot be read, or has no row in the span.
    """
    findings = infer(_head(source), request.declarations, request.overrides)
    monitored = [finding for finding in findings if finding.kind is not None]
    time_column = next((finding.name for finding in findings if finding.role == "time"), None)
    if request.since_us is not None and request.until_us is not None and request.since_us >= request.until_us:
        raise DeclarationError("--since is not before --until")
    if time_column is None and not (request.since_us is None and request.until_us is None):
        raise DeclarationError("--since and --until need a time column; name one with --time-column")
    zone = zone_of(request.declarations.time_zone)
    span = Span(time_column=time_column, time_zone=zone, since_us=request.since_us, until_us=request.until_us)
    names = [finding.name for finding in monitored]

    sample_rows = sample_rows_for(sum(finding.kind == "numeric" for finding in monitored), request.sample_bytes)
    surveys = [survey_of(str(finding.kind), sample_rows) for finding in monitored]
    rng = np.random.default_rng(_SEED)
    for some in timed_rows(source, span, names, lambda done: on_progress("surveying", done)):
        add_all(surveys, [some.columns.get(name) for name in names], priorities(rng, some.rows))

    declarations = request.declarations
    builder = Builder(
        [
            plan_of(
                finding.name,
                _monitored_role(finding),
                survey,
                resolution=declarations.resolution,
                categories_max=declarations.categories_max,
            )
            for finding, survey in zip(monitored, surveys, strict=True)
        ]
    )
    size_s = parse_duration_s(request.window)
    rejected = 0
    rows_of_file: Counter[str | None] = Counter()
    for some in timed_rows(source, span, names, lambda done: on_progress("counting", done)):
        starts = None if some.times_us is None else window_starts(some.times_us, size_s, zone) // 1_000_000
        rejected += some.rejected
        rows_of_file[some.file] += some.rows
        if some.rows:
            builder.add(some.columns, some.rows, starts)
    if not builder.rows:
        raise InputError("no row to learn from" + (f"; {rejected:,} could not be read" if rejected else " in the span"))
    reference = builder.finish(
        model=request.model,
        version=request.version,
        created_at=request.created_at,
        window=request.window,
        time_zone=declarations.time_zone,
        time_column=time_column,
        sample_rows=sample_rows,
        provenance=_with_rows(request.provenance, rows_of_file),
    )
    settings = replace(request.calibration, time_zone=declarations.time_zone)
    calibration = None
    if reference.blocks is not None:
        reference, calibration = with_replay(
            reference,
            settings,
            zone,
            lambda share: on_progress("replaying", int(share * source.size_bytes)),
            mapper_for(reference),
        )
    return Built(reference=reference, findings=findings, rejected=rejected, calibration=calibration)


def _head(source: Source) -> list[Batch]:
    head: list[Batch] = []
    rows = cells = 0
    for batch in source.batches():
        head.append(batch)
        rows += batch.rows
        cells += batch.rows * len(batch.columns)
        if rows >= HEAD_ROWS or cells >= HEAD_CELLS:
            break
    return head


def _with_rows(provenance: Mapping[str, object], rows: Counter[str | None]) -> dict[str, object]:
    files = provenance.get("files")
    listed = [file | {"rows": rows[file["name"]]} for file in files] if isinstance(files, list) else []
    return {**provenance, "files": listed}


def _monitored_role(finding: Finding) -> Role:
    return "output" if finding.role == "output" else "input"
