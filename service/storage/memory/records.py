"""Decisions in memory."""

from collections.abc import Sequence
from dataclasses import replace

from service.ports import AlertChange, EpisodeRow, OutboxNotice, Record
from service.storage.memory import counts, outbox, roles
from service.storage.memory.state import EpisodeState, ModelState, State

__all__ = ["put_episode", "record", "row_of"]


def record(state: State, record: Record, now_us: int) -> bool:
    """Write a step, unless something that it relied on has changed."""
    model = state.models.get(record.model)
    if model is None or model.epoch != record.epoch or not _holds(state, model, record, now_us):
        return False
    progress = model.progress(record.version)
    progress.evaluated_until_us = record.evaluated_until_us
    for window_us in record.cleaned:
        del progress.dirty[window_us]
    for row in record.evaluations:
        key = (row.version, row.segment, row.reference_id, row.size, row.start_us)
        model.evaluations.pop(key, None)  # so that they stand in the order that they were recorded in
        model.evaluations[key] = replace(row, model=record.model)
    _put(state, model, record.alert, record.episodes)
    outbox.enqueue(state, record.notices, now_us)
    model.decisions.extend((record.version, end_us, document) for end_us, document in record.decisions)
    return True


def put_episode(
    state: State, row: EpisodeRow, alert: AlertChange | None, notices: Sequence[OutboxNotice], now_us: int
) -> bool:
    """Change an episode by hand, unless it or the alert state has changed."""
    model = state.models.get(row.model)
    if model is None or not _stands(state, model, alert, [row]):
        return False
    _put(state, model, alert, [row])
    outbox.enqueue(state, notices, now_us)
    return True


def row_of(name: str, episode: EpisodeState) -> EpisodeRow:
    """An episode as it is read."""
    return EpisodeRow(
        id=episode.id,
        model=name,
        version=episode.version,
        opened_at_us=episode.opened_at_us,
        open=episode.open,
        revision=episode.revision,
        document=episode.document,
    )


def _holds(state: State, model: ModelState, record: Record, now_us: int) -> bool:
    progress = model.progress(record.version)
    return (
        roles.is_held(model, record.fence, now_us)
        and progress.evaluated_until_us == record.was_evaluated_until_us
        and all(counts.rows(state, read) == read.rows for read in record.relied_on)
        and all(progress.dirty.get(window_us) == times for window_us, times in record.cleaned.items())
        and _stands(state, model, record.alert, record.episodes)
    )


def _stands(state: State, model: ModelState, alert: AlertChange | None, episodes: Sequence[EpisodeRow]) -> bool:
    if alert is not None and model.alerts.get((alert.version, alert.segment), (0, b""))[0] != alert.revision:
        return False
    revisions = {key: episode.revision for other in state.models.values() for key, episode in other.episodes.items()}
    return all(revisions.get(row.id, 0) == row.revision for row in episodes)


def _put(state: State, model: ModelState, alert: AlertChange | None, episodes: Sequence[EpisodeRow]) -> None:
    if alert is not None:
        model.alerts[alert.version, alert.segment] = alert.revision + 1, alert.document
    for row in episodes:
        evaluated_us = model.progress(row.version).evaluated_until_us
        before = model.episodes.get(row.id)
        model.episodes[row.id] = EpisodeState(
            id=row.id,
            number=state.next_number() if before is None else before.number,
            version=row.version,
            opened_at_us=row.opened_at_us,
            open=row.open,
            until_us=row.opened_at_us if evaluated_us is None else max(row.opened_at_us, evaluated_us),
            revision=row.revision + 1,
            document=row.document,
        )
