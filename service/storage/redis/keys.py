"""Names and times as they stand in keys: they sort as what they stand for does, and none can be taken for another."""

from typing import Final
from urllib.parse import quote

from service.ports import Delta, Series

__all__ = ["ALL", "MODEL_KEYS", "model", "number", "quoted", "series_key", "stamp", "stamp_bound", "unstamp"]

ALL: Final = "driftline:{all}:"
"""Stands before the keys that belong to no model."""

MODEL_KEYS: Final = (
    "row",
    "role",
    "activations",
    "activated",
    "references",
    "reference_order",
    "documents",
    "series",
    "panes",
    "rows",
    "late",
    "folds",
    "summed",
    "unfolded",
    "versions",
    "dirty",
    "marks",
    "mark_order",
    "turns",
    "turn_order",
    "evaluations",
    "evaluation_names",
    "evaluation_ends",
    "alerts",
    "episodes",
    "episode_order",
    "episodes_open",
    "decisions",
    "decision_ends",
    "delivery_order",
    "pending",
    "delivery_ends",
    "delivery_counts",
)
"""All keys of a model but those of a single pane or delivery."""

_ZERO: Final = 10**19
"""A stamp is the time plus this: twenty digits, which sort as the times do, also before 1970."""


def model(name: str) -> str:
    """What stands before the keys of a model; the part in braces decides on the slot of a cluster."""
    return f"driftline:{{m:{name}}}:"


def quoted(text: str) -> str:
    """A name without slashes and colons, which part the names in a key."""
    return quote(text, safe="")


def series_key(series: Series | Delta) -> str:
    """Version, reference and segment."""
    return "/".join(map(quoted, (series.version, series.reference_id, series.segment)))


def number(value: int) -> str:
    """A number that is drawn, in twenty digits."""
    return f"{value:020d}"


def stamp(us: int) -> str:
    """A time, in twenty digits."""
    return f"{_ZERO + int(us):020d}"


def stamp_bound(us: int | None, default: str) -> str:
    """A time that bounds a search, or what stands for none."""
    return default if us is None else stamp(us)


def unstamp(text: bytes) -> int:
    """Back to a time."""
    return int(text) - _ZERO
