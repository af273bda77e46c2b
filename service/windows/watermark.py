"""The watermark: the time below which no more rows are waited for.

It follows the largest committed event time. A source is live while its newest event, at the time it came, was within the
live horizon of the clock; the watermark of a live source goes on with the clock when no rows come, so that silence closes
windows. It goes on at the source's own distance from the clock: a log that arrives ten minutes late is not late. The
watermark of a replay of old logs stays where the rows are.
"""

from dataclasses import dataclass

from service.ports import Progress

__all__ = ["Lateness", "is_live", "watermark_us"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """How long rows are waited for.

    Parameters
    ----------
    lateness_us : int
    live_horizon_us : int
        A source whose newest event is further from the clock than this is a replay.
    """

    lateness_us: int
    live_horizon_us: int


def is_live(progress: Progress, lateness: Lateness) -> bool:
    """Whether the newest event of a source was recent when it came."""
    return progress.advanced_at_us - progress.newest_us <= lateness.live_horizon_us


def watermark_us(progress: Progress, now_us: int, lateness: Lateness) -> int:
    """Time below which panes are closed; microseconds since the epoch.

    Parameters
    ----------
    progress : Progress
    now_us : int
        By the store's clock.
    lateness : Lateness
    """
    silent_us = max(0, now_us - progress.advanced_at_us) if is_live(progress, lateness) else 0
    return progress.newest_us + silent_us - lateness.lateness_us
