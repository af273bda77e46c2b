"""How a reference compares with the one before it, for people: a document, a sentence, a line of the log.

PSI is given its usual words here because a size has to be called something. No verdict comes of them: whether references differ
by more than chance is not asked, somebody has chosen the new one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from detectors.reference.comparing import ComparedColumn, ComparedReferences, compared
from service.registry.models import LiveReference

__all__ = ["Comparison", "compare", "comparison_document", "sentence_of", "strongest"]

_MUCH: Final = 0.2
_SOMEWHAT: Final = 0.1
_MISSING_TOLD: Final = 0.01  # of the share: a point of percent
_NAMED_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A reference beside the one before it."""

    before: str
    after: str
    found: ComparedReferences


async def compare(before: LiveReference, after: LiveReference) -> Comparison:
    """Compare two references; of a thousand columns a tenth of a second, in a thread."""
    found = await asyncio.to_thread(compared, before.reference, after.reference)
    return Comparison(before=before.id, after=after.id, found=found)


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """A comparison as people get it; a number that does not exist is None."""
    found = comparison.found
    return {
        "before": comparison.before,
        "after": comparison.after,
        "rows_before": found.rows_before,
        "rows_after": found.rows_after,
        "sentence": sentence_of(found),
        "columns": [
            {
                "name": column.name,
                "role": column.role,
                "kind": column.kind,
                "psi": _number(column.psi),
                "ks": _number(column.ks),
                "missing_before": _number(column.missing_before),
                "missing_after": _number(column.missing_after),
            }
            for column in found.columns
        ],
        "added": list(found.added),
        "removed": list(found.removed),
        "kinds": [{"name": change.name, "before": change.before, "after": change.after} for change in found.kinds],
    }


def sentence_of(found: ComparedReferences) -> str:
    """What a person wants to know of it: which columns differ, by how much, and which are new, gone or of another kind."""
    by_psi = sorted((column for column in found.columns if isfinite(column.psi)), key=lambda column: -column.psi)
    much = [f"{column.name} {column.psi:.2f}" for column in by_psi if column.psi > _MUCH]
    somewhat = [f"{column.name} {column.psi:.2f}" for column in by_psi if _SOMEWHAT < column.psi <= _MUCH]
    holes = [_holes(column) for column in found.columns if _is_told(column)]
    differ = [
        f"{len(names)} {'differs' if len(names) == 1 else 'differ'} {word} (PSI above {above:g}): {_listed(names)}"
        for names, word, above in ((much, "much", _MUCH), (somewhat, "somewhat", _SOMEWHAT))
        if names
    ]
    parts = [
        f"Of {_counted(len(found.columns), 'column')} {'; '.join(differ) or 'none differs by a PSI above 0.1'}."
        if found.columns
        else "No column can be compared.",
        f"Missing values: {_listed(holes)}." if holes else "",
        f"New: {_listed(found.added)}." if found.added else "",
        f"Gone: {_listed(found.removed)}." if found.removed else "",
        f"Of another kind: {_listed([f'{c.name} ({c.before} before, {c.after} now)' for c in found.kinds])}."
        if found.kinds
        else "",
    ]
    return " ".join(filter(None, parts))


def strongest(found: ComparedReferences) -> list[dict[str, Any]]:
    """The columns that changed most, for the log."""
    return [
        {"column": column.name, "psi": _rounded(column.psi), "missing_change": _rounded(column.missing_change)}
        for column in found.columns[:_NAMED_MAX]
    ]


def _is_told(column: ComparedColumn) -> bool:
    return abs(column.missing_change) >= _MISSING_TOLD


def _holes(column: ComparedColumn) -> str:
    return f"{column.name} {column.missing_before:.1%} before, {column.missing_after:.1%} now"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _number(value: float) -> float | None:
    return value if isfinite(value) else None


def _rounded(value: float) -> float | None:
    return round(value, 4) if isfinite(value) else None
