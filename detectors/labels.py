"""Names of groups, for people: `(0.5, 0.62]`, `3`, `clear`, `other or unseen`."""

from collections.abc import Sequence

from detectors.arrays import IndexArray
from detectors.columns import CategoricalColumn, Column, NumericColumn

__all__ = ["group_labels"]

_WHOLE_MAX = 1e15


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
        return _categorical(column)
    return _numeric(column, group_starts.tolist())


def _categorical(column: CategoricalColumn) -> list[str]:
    pools = len(column.pools)
    pooled = [f"others ({pool + 1} of {pools})" for pool in range(pools)] if pools > 1 else ["other or unseen"]
    return [*column.categories[: column.own], *pooled]


def _numeric(column: NumericColumn, starts: Sequence[int]) -> list[str]:
    edges: list[tuple[str, bool, int]] = []  # text, whether the edge lies below its point, number of the point
    texts = _texts(column.points.tolist())
    for number, (text, atom) in enumerate(zip(texts, column.atoms.tolist(), strict=True)):
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


def _texts(points: Sequence[float]) -> list[str]:
    """Shortest texts that tell the points apart: six digits where that is enough, whole numbers in full."""
    if all(isinstance(point, int) or (point.is_integer() and abs(point) < _WHOLE_MAX) for point in points):
        return [str(int(point)) for point in points]
    return next(
        texts
        for digits in range(6, 18)
        for texts in [[f"{point:.{digits}g}" for point in points]]
        if len(set(texts)) == len(texts) or digits == 17  # noqa: PLR2004 - 17 digits tell all doubles apart
    )
