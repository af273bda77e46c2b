"""Names of groups, for people: `(0.5, 0.62]`, `3`, `clear`, `other or unseen`."""

from collections.abc import Sequence

from detectors.arrays import IndexArray
from detectors.columns import CategoricalColumn, Column, NumericColumn

__all__ = ["group_labels"]


def group_labels(column: Column, group_starts: IndexArray) -> list[str]:
    """Label of each group of a column.

    Parameters
    ----------
    column : Column
    group_starts : ndarray of intp, shape [n_groups]
        Local bins at which the groups start.

    Returns
    -------
    list of str, length n_groups
    """
    if isinstance(column, CategoricalColumn):
        return _categorical(column, group_starts.size)
    return _numeric(column, group_starts.tolist())


def _categorical(column: CategoricalColumn, n_groups: int) -> list[str]:
    return [*column.categories[: n_groups - 1], "other or unseen"]


def _numeric(column: NumericColumn, starts: Sequence[int]) -> list[str]:
    edges: list[tuple[str, bool, int]] = []  # text, whether the edge lies below its point, number of the point
    for number, (point, atom) in enumerate(zip(column.points.tolist(), column.atoms.tolist(), strict=True)):
        text = f"{point:.6g}" if isinstance(point, float) else str(point)
        edges += [(text, True, number)] if atom else []
        edges.append((text, False, number))
    labels = []
    for start, end in zip(starts, [*starts[1:], len(edges) + 1], strict=True):
        points = {number for _, _, number in edges[start : end - 1]}
        inside = {number for text, below, number in edges[start:end] if not below}
        if len(inside) == 1 and points <= inside:
            labels.append(next(text for text, below, number in edges[start:end] if number in inside))
            continue
        left = "(-inf" if start == 0 else ("[" if edges[start - 1][1] else "(") + edges[start - 1][0]
        right = "inf)" if end > len(edges) else edges[end - 1][0] + (")" if edges[end - 1][1] else "]")
        labels.append(f"{left}, {right}")
    return labels
