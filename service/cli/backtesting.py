"""A log to the base windows of a reference, and a policy tried on them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detectors.reference import Reference
from service.backtest.backtest import Backtest
from service.backtest.proposal import Proposal, model_of_reference
from service.domain.durations import parse_duration_s, zone_of
from service.domain.yaml_tree import YamlTree, read_yaml
from service.errors import DeclarationError, InputError
from service.evaluation.counting import WindowCounts
from service.formats import Source
from service.ports import Pane
from service.references.rows import Span, timed_rows
from service.settings.faults import Fault, SettingsError, faults_of
from service.storage.codec import encode_dense
from service.windows.times import window_starts

__all__ = ["WINDOWS_MAX", "Log", "backtested", "counted", "read_proposal"]

WINDOWS_MAX = 100_000
"""Eleven years of hours; of more nobody reads the alarms."""

_TIME_COLUMN = "timestamp"


@dataclass(frozen=True, kw_only=True, eq=False)
class Log:
    """Counts of a log by base window.

    Parameters
    ----------
    counts : WindowCounts
    rejected : int
        Rows that could not be read, or had no readable time.
    """

    counts: WindowCounts
    rejected: int = 0
    ignored: list[str] = field(default_factory=list)

    def panes(self) -> Iterator[Pane]:
        """Base windows with rows, as a store would give them."""
        for start_us, rows, counts in self.counts.windows():
            payload = encode_dense(counts)
            yield Pane(start_us=start_us, window_start_us=start_us, rows=rows, late=0, payloads=(payload,))


def counted(
    source: Source,
    reference: Reference,
    *,
    time_column: str | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Log:
    """Count a log in the bins of a reference, by its base windows.

    Raises
    ------
    DeclarationError
        There is no time column, or more windows than anybody wants.
    InputError
        The data cannot be read, or has no column of the reference.
    """
    if since_us is not None and until_us is not None and since_us >= until_us:
        raise DeclarationError("--since is not before --until")
    time_column = time_column or reference.time_column or _TIME_COLUMN
    if time_column in {column.name for column in reference.columns}:
        raise DeclarationError(
            f"'{time_column}' is a column that the reference monitors; it cannot be the time as well"
        )
    base_s, zone = parse_duration_s(reference.window), zone_of(reference.time_zone)
    span = Span(time_column=time_column, time_zone=zone, since_us=since_us, until_us=until_us)
    counts = WindowCounts(reference)
    rejected, times_seen = 0, False
    for some in timed_rows(source, span, None, on_progress):
        rejected += some.rejected
        times_seen = times_seen or bool(some.columns) or some.rows > 0
        assert some.times_us is not None  # noqa: S101 - they are needed: rows without are rejected
        counts.add(some.columns, some.rows, window_starts(some.times_us, base_s, zone))
        if len(counts) > WINDOWS_MAX:
            raise DeclarationError(
                f"more than {WINDOWS_MAX:,} windows of {reference.window}; take less with --since and --until"
            )
    if not times_seen and rejected:
        raise DeclarationError(f"no time column in the data: wanted '{time_column}'")
    if len(counts) and not counts.known:
        raise InputError("the data has no column of the reference; is it of another model?")
    return Log(counts=counts, rejected=rejected, ignored=sorted(counts.ignored))


def backtested(
    log: Log, reference: Reference, proposal: Proposal, on_window: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Try a policy on a log; `driftline.backtest/1`."""
    model = model_of_reference(reference, proposal)
    backtest = Backtest(model, reference.version)
    for number, pane in enumerate(log.panes(), 1):
        backtest.take(pane)
        on_window(number)
    return backtest.document(rejected_rows=log.rejected, ignored=log.ignored, errors=log.counts.errors, left_out=None)


def read_proposal(path: Path | None) -> Proposal:
    """Read `policy.yaml`; without one, the policy is as it is by default.

    Raises
    ------
    InputError
        The file cannot be read.
    SettingsError
        With every fault, its line and its place.
    """
    if path is None:
        return Proposal()
    try:
        tree = read_yaml(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: cannot be read ({type(error).__name__})") from error
    if tree.faults:
        raise SettingsError([Fault(line=fault.line, text=fault.text).located(path.name) for fault in tree.faults])
    data = {} if tree.data is None else tree.data
    try:
        return Proposal.model_validate(data)
    except ValidationError as error:
        raise SettingsError(list(_faults(error, tree, data, path.name))) from error


def _faults(error: ValidationError, tree: YamlTree, data: Any, name: str) -> Iterator[str]:
    for place, text in faults_of(error, data, Proposal.model_json_schema()):
        line = next((tree.lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in tree.lines), None)
        yield Fault(text=text, place=".".join(map(str, place)), line=line).located(name)
