"""Which columns of a wide model are exported: those with the smallest p-values, without coming and going.

Under no change p-values are uniform and new with every window, so a plain top-k would exchange most of its columns each
time, and every exchange is a series that ends and one that begins. A margin on p-values does not help: among many columns
some are always much smaller than others by chance. So a column, once in, stays until it is *clearly* displaced:

- only a column that has drifted displaces one, the most significant first, and the least significant goes first;
- one that has not drifted is displaced by any that has; one that has drifted, only by a p-value with twice its decades.

A drifted column is seen at once, and while nothing drifts nothing moves.
"""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["sticky_columns"]


def sticky_columns(columns: Mapping[str, Mapping[str, Any]], kept: Sequence[str], columns_max: int) -> list[str]:
    """Names of the columns to export.

    Parameters
    ----------
    columns : mapping of str to mapping
        Columns of an evaluation document.
    kept : sequence of str
        Those that were exported before, in the order of an earlier answer.
    columns_max : int

    Returns
    -------
    list of str
        At most `columns_max`; columns that stay keep their order.
    """
    if len(columns) <= columns_max:
        return list(columns)
    members = [name for name in kept if name in columns][:columns_max]
    inside = set(members)
    outside = sorted((name for name in columns if name not in inside), key=lambda name: _strength(columns[name]))
    room = columns_max - len(members)
    members += outside[:room]
    weakest = sorted(members, key=lambda name: _strength(columns[name]))[::-1]
    newcomers = [name for name in outside[room:] if columns[name]["verdict"] == "drifted"]
    exchanged = {
        old: new for old, new in zip(weakest, newcomers, strict=False) if _displaces(columns[new], columns[old])
    }
    return [exchanged.get(name, name) for name in members]


def _strength(column: Mapping[str, Any]) -> tuple[bool, float]:
    """Sorts drifted columns first, then by p-value; those without one are last."""
    pvalue = column["pvalue"]
    return column["verdict"] != "drifted", 2.0 if pvalue is None else pvalue


def _displaces(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    if old["verdict"] != "drifted":
        return True
    new_pvalue, old_pvalue = _strength(new)[1], _strength(old)[1]
    return new_pvalue < old_pvalue and new_pvalue <= old_pvalue**2
