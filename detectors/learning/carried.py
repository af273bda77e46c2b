"""Which columns the rows carried.

A row that lacks a column counts as missing there only if it carries another column of the same role that is watched
(`Binner.observed_bins`). But which columns are watched turns out only when the reference is made: a request identifier that
comes with requests and responses alike is left out, and must not make every response a request without inputs. So it is
counted how many rows carried which set of columns: senders have few such sets. Where there are more than `PATTERNS_MAX`,
it is only known how many rows carried any column of a role.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

from detectors.arrays import BoolArray
from detectors.binning.values import Values
from detectors.columns import Role

__all__ = ["PATTERNS_MAX", "Carried", "carried_of", "merged_carried"]

PATTERNS_MAX: Final = 256

_ROLES: Final[tuple[Role, ...]] = get_args(Role)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carried:
    """Rows by what they carried.

    Parameters
    ----------
    role_rows : mapping of Role to int
        Rows that carried any column of a role.
    patterns : mapping of frozenset of str to int, or None
        Rows by the set of columns they carried; None for good when there were too many sets.
    """

    role_rows: Mapping[Role, int]
    patterns: Mapping[frozenset[str], int] | None

    def rows_of(self, role: Role, columns: Collection[str]) -> int:
        """Rows that carried any of some columns of one role, as far as known."""
        if self.patterns is None:
            return self.role_rows[role]
        wanted = frozenset(columns)
        return sum(count for names, count in self.patterns.items() if not wanted.isdisjoint(names))


def carried_of(columns: Mapping[str, Values], n_rows: int, roles: Mapping[str, Role]) -> Carried:
    """Count the rows of a batch by what they carry.

    Parameters
    ----------
    columns : mapping of str to Values
    n_rows : int
    roles : mapping of str to Role
        Of columns that are no inputs.

    Returns
    -------
    Carried
    """
    gaps = {name: values.absent for name, values in columns.items() if values.absent is not None}
    always = frozenset(columns.keys() - gaps.keys())
    role_rows: dict[Role, int] = {}
    for role in _ROLES:
        some = [gaps.get(name) for name in columns if roles.get(name, "input") == role]
        masks = [mask for mask in some if mask is not None]
        if len(masks) < len(some):
            role_rows[role] = n_rows
        else:
            role_rows[role] = n_rows - int(np.count_nonzero(np.logical_and.reduce(masks))) if masks else 0
    if not gaps:
        return Carried(role_rows=role_rows, patterns={always: n_rows} if n_rows else {})
    return Carried(role_rows=role_rows, patterns=_patterns(gaps, always))


def merged_carried(parts: Sequence[Carried]) -> Carried:
    """Of the rows of several parts."""
    role_rows: dict[Role, int] = {role: sum(part.role_rows[role] for part in parts) for role in _ROLES}
    total: Counter[frozenset[str]] = Counter()
    for part in parts:
        if part.patterns is None:
            return Carried(role_rows=role_rows, patterns=None)
        total.update(part.patterns)
    return Carried(role_rows=role_rows, patterns=dict(total) if len(total) <= PATTERNS_MAX else None)


def _patterns(gaps: Mapping[str, BoolArray], always: frozenset[str]) -> Mapping[frozenset[str], int] | None:
    carries = ~np.stack(list(gaps.values()), axis=1)
    packed = np.packbits(carries, axis=1)
    _, first, often = np.unique(packed, axis=0, return_index=True, return_counts=True)
    if first.size > PATTERNS_MAX:
        return None
    names = np.array(list(gaps), dtype=np.object_)
    return {always | frozenset(names[carries[row]]): count for row, count in zip(first, often.tolist(), strict=True)}
