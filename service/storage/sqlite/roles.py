"""Replicas and the roles they have: a few rows that are written every few seconds, all of a replica's roles together."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["attend", "hold", "is_held", "leave", "release"]

_HOLD: Final = """
    INSERT INTO roles
        SELECT id, :owner, :now_us, :until_us FROM models WHERE model IN (SELECT value FROM json_each(:models))
    ON CONFLICT (model_id) DO UPDATE SET
        owner = excluded.owner, until_us = excluded.until_us,
        fence = iif(roles.until_us <= :now_us, max(fence + 1, :now_us), fence)
    WHERE owner = excluded.owner OR roles.until_us <= :now_us
    RETURNING (SELECT model FROM models WHERE id = model_id), fence"""
_RELEASE: Final = "UPDATE roles SET until_us = 0 WHERE owner = ? AND model_id = (SELECT id FROM models WHERE model = ?)"


def attend(
    connection: sqlite3.Connection, member: str, until_us: int, now_us: int, *, dead: str | None = None
) -> Sequence[str]:
    """Say that a replica is there, and what one has that is dead is free; all that are there."""
    if dead is not None:
        leave(connection, dead)
        connection.execute("UPDATE roles SET until_us = 0 WHERE owner = ?", (dead,))
    connection.execute("DELETE FROM members WHERE until_us <= ?", (now_us,))
    connection.execute("REPLACE INTO members VALUES (?, ?)", (member, until_us))
    return [name for (name,) in connection.execute("SELECT name FROM members ORDER BY name").fetchall()]


def leave(connection: sqlite3.Connection, member: str) -> None:
    """Say that a replica is there no more."""
    connection.execute("DELETE FROM members WHERE name = ?", (member,))


def hold(
    connection: sqlite3.Connection, models: Sequence[str], owner: str, until_us: int, now_us: int
) -> Mapping[str, int]:
    """Take or renew roles; the fences of those that are the owner's now."""
    # One statement for all: a thousand of them would keep commits waiting for twenty milliseconds.
    wanted = {"models": json.dumps(list(models)), "owner": owner, "until_us": until_us, "now_us": now_us}
    return dict(connection.execute(_HOLD, wanted).fetchall())


def release(connection: sqlite3.Connection, models: Sequence[str], owner: str) -> None:
    """Give roles back."""
    connection.executemany(_RELEASE, [(owner, model) for model in models])


def is_held(connection: sqlite3.Connection, model_id: int, fence: int | None, now_us: int) -> bool:
    """Whether a role is still held by a fence, if one is asked for."""
    found = "SELECT 1 FROM roles WHERE model_id = ? AND fence = ? AND until_us > ?"
    return fence is None or connection.execute(found, (model_id, fence, now_us)).fetchone() is not None
