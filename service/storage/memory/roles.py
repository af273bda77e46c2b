"""Replicas and their roles in memory."""

from collections.abc import Mapping, Sequence

from service.storage.memory.state import ModelState, State

__all__ = ["attend", "hold", "is_held", "release"]


def attend(state: State, member: str, ttl_us: int, now_us: int) -> Sequence[str]:
    """Say that a replica is there; all that are."""
    there = {name: until_us for name, until_us in state.members.items() if until_us > now_us}
    state.members = there | {member: now_us + ttl_us}
    return sorted(state.members)


def hold(state: State, models: Sequence[str], owner: str, ttl_us: int, now_us: int) -> Mapping[str, int]:
    """Take or renew roles; the fences of those that are the owner's now."""
    fences = {}
    for name in models:
        if name not in state.models:
            continue
        role = state.models[name].role
        runs = role.until_us > now_us
        if runs and role.owner != owner:
            continue
        if not runs:
            role.owner, role.fence = owner, max(role.fence + 1, now_us)
        role.until_us = now_us + ttl_us
        fences[name] = role.fence
    return fences


def release(state: State, models: Sequence[str], owner: str) -> None:
    """Give roles back."""
    for name in models:
        if name in state.models and state.models[name].role.owner == owner:
            state.models[name].role.until_us = 0


def is_held(model: ModelState, fence: int | None, now_us: int) -> bool:
    """Whether a role is still held by a fence, if one is asked for."""
    return fence is None or (model.role.fence == fence and model.role.until_us > now_us)
