"""Reading counts: what is folded and what is not, together."""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from service.ports import CountsRead, Pane, Progress, Series

__all__ = ["panes", "progress", "rows", "rows_by_window"]

_SERIES: Final = """
    SELECT series.id FROM series JOIN models ON models.id = series.model_id
    WHERE models.model = ? AND version = ? AND reference_id = ? AND segment = ?"""

_PANES: Final = """
    SELECT pane_start_us, window_start_us, rows, late, payload FROM panes
    WHERE series_id = ?1 AND pane_start_us >= ?2 AND pane_start_us < ?3
    UNION ALL
    SELECT pane_start_us, window_start_us, rows, late, payload FROM deltas
    WHERE series_id = ?1 AND pane_start_us >= ?2 AND pane_start_us < ?3"""

# A pane starts no earlier than its window, which is what the index knows.
_ROWS_BY_WINDOW: Final = """
    SELECT window_start_us, sum(rows) FROM (
        SELECT window_start_us, rows FROM panes
        WHERE series_id = ?1 AND pane_start_us >= ?2 AND window_start_us >= ?2 AND window_start_us < ?3
        UNION ALL
        SELECT window_start_us, rows FROM deltas
        WHERE series_id = ?1 AND pane_start_us >= ?2 AND window_start_us >= ?2 AND window_start_us < ?3
    ) GROUP BY window_start_us HAVING sum(rows) > 0 ORDER BY window_start_us"""

_ROWS: Final = """
    SELECT
        (SELECT coalesce(sum(rows), 0) FROM panes
         WHERE series_id = ?1 AND pane_start_us >= ?2 AND pane_start_us < ?3)
        + (SELECT coalesce(sum(rows), 0) FROM deltas
           WHERE series_id = ?1 AND pane_start_us >= ?2 AND pane_start_us < ?3)"""

_PROGRESS: Final = """
    SELECT models.id, models.model, version, newest_us, advanced_at_us, evaluated_until_us
    FROM progress JOIN models ON models.id = progress.model_id
    WHERE newest_us IS NOT NULL AND (?1 IS NULL OR models.model = ?1) ORDER BY models.model, version"""

_OLDEST: Final = """
    SELECT series.model_id, version,
        (SELECT min(pane_start_us) FROM panes WHERE series_id = series.id),
        (SELECT min(pane_start_us) FROM deltas WHERE series_id = series.id)
    FROM series JOIN models ON models.id = series.model_id WHERE ?1 IS NULL OR models.model = ?1"""

_DIRTY: Final = """
    SELECT model_id, version, window_start_us, times
    FROM dirty JOIN models ON models.id = dirty.model_id WHERE ?1 IS NULL OR models.model = ?1"""


def panes(connection: sqlite3.Connection, series: Series, first_us: int, last_us: int) -> Sequence[Pane]:
    """Panes that start in [first_us, last_us), in order."""
    found: dict[tuple[int, int], list[tuple[int, int, bytes]]] = defaultdict(list)
    for start_us, window_us, *part in connection.execute(_PANES, (_id(connection, series), first_us, last_us)):
        found[start_us, window_us].append((part[0], part[1], part[2]))
    return [
        Pane(
            start_us=start_us,
            window_start_us=window_us,
            rows=sum(rows for rows, _, _ in parts),
            late=sum(late for _, late, _ in parts),
            payloads=tuple(payload for _, _, payload in parts),
        )
        for (start_us, window_us), parts in sorted(found.items())
    ]


def rows_by_window(
    connection: sqlite3.Connection, series: Series, first_us: int, last_us: int
) -> Sequence[tuple[int, int]]:
    """Start and rows of each base window that starts in [first_us, last_us) and has a row."""
    return connection.execute(_ROWS_BY_WINDOW, (_id(connection, series), first_us, last_us)).fetchall()


def rows(connection: sqlite3.Connection, read: CountsRead) -> int:
    """Rows of the panes that start in a span."""
    (total,) = connection.execute(_ROWS, (_id(connection, read.series), read.first_us, read.last_us)).fetchone()
    return int(total)


def progress(connection: sqlite3.Connection, model: str | None) -> Sequence[Progress]:
    """Of every version that has had a row; where no pane is kept but of what is learned, the newest event is the oldest."""
    oldest: dict[tuple[int, str], list[int]] = defaultdict(list)
    for model_id, version, *starts in connection.execute(_OLDEST, (model,)):
        oldest[model_id, version] += [start for start in starts if start is not None]
    dirty: dict[tuple[int, str], dict[int, int]] = defaultdict(dict)
    for model_id, version, window_us, times in connection.execute(_DIRTY, (model,)):
        dirty[model_id, version][window_us] = times
    return [
        Progress(
            model=name,
            version=version,
            newest_us=newest_us,
            advanced_at_us=advanced_at_us,
            oldest_us=min([newest_us, *oldest[model_id, version]]),
            evaluated_until_us=evaluated_until_us,
            dirty=dirty[model_id, version],
        )
        for model_id, name, version, newest_us, advanced_at_us, evaluated_until_us in connection.execute(
            _PROGRESS, (model,)
        )
    ]


def _id(connection: sqlite3.Connection, series: Series) -> int | None:
    row = connection.execute(_SERIES, (series.model, series.version, series.reference_id, series.segment)).fetchone()
    return None if row is None else row[0]
