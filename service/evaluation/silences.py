"""Records of silence: one for each stretch of base windows without a row, which grows while it lasts.

A stretch is recorded under the reference that its first base window would have been evaluated with. So a row that comes late
into that window replaces the record, and what is left behind it becomes a record of its own.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import msgspec

from service.domain import Evaluation
from service.evaluation.closing import Silent
from service.evaluation.corrections import Stretch, silent_parts
from service.evaluation.evaluators import silence
from service.evaluation.measuring import windows_with_rows
from service.evaluation.spans import base_label
from service.ports import EvaluationRow, Store
from service.registry.models import LiveModel, LiveVersion
from service.windows.zones import US_PER_S

__all__ = ["Silences"]


class _Head(msgspec.Struct):
    reason: str | None


class Silences:
    """Makes records of silence, and tears them where rows came late.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def recorded(self, model: LiveModel, version: LiveVersion, step: Silent, now_us: int) -> Evaluation:
        """The record of a stretch; of the one that ends where it begins, if there is one, and both together."""
        before = await self._store.evaluations(
            model.model, version.version, size=base_label(model), first_us=None, last_us=step.start_us, limit=1
        )
        if before and before[0].end_us == step.start_us and _is_silence(before[0]):
            stretch = Stretch(start_us=before[0].start_us, end_us=step.end_us, record=before[0])
            return replace(self._silence(model, version, stretch, now_us), revision=before[0].revision)
        return self._silence(model, version, Stretch(start_us=step.start_us, end_us=step.end_us), now_us)

    async def torn(
        self,
        model: LiveModel,
        version: LiveVersion,
        starts_us: Sequence[int],
        *,
        later_us: AbstractSet[int],
        until_us: int,
        now_us: int,
    ) -> list[Evaluation]:
        """What is left of records of silence.

        Parameters
        ----------
        model : LiveModel
        version : LiveVersion
        starts_us : sequence of int
            Base windows that rows came late into and that are evaluated now, in order.
        later_us : set of int
            Those that are not: until they are, they stay part of the silence.
        until_us : int
            End of the last base window that was evaluated.
        now_us : int
        """
        stretches: dict[tuple[str, int], Stretch] = {}
        for start_us in starts_us:
            stretch = await self._stretch(model, version, start_us, until_us)
            if stretch is not None:
                # Before the first record one stretch lies within another: the first is the longest.
                reference = "" if stretch.record is None else stretch.record.reference_id
                stretches.setdefault((reference, stretch.end_us), stretch)
        parts: list[Evaluation] = []
        for stretch in stretches.values():
            starts = sorted(await windows_with_rows(self._store, version, stretch.start_us, stretch.end_us))
            windows = [(start, model.grid.base_end(start)) for start in starts if start not in later_us]
            for part in silent_parts([stretch], windows):
                found = self._silence(model, version, part, now_us)
                again = part.record is not None and part.start_us == part.record.start_us
                revision = part.record.revision + 1 if part.record is not None and again else 1
                parts.append(replace(found, revision=revision))
        return parts

    async def _stretch(self, model: LiveModel, version: LiveVersion, start_us: int, until_us: int) -> Stretch | None:
        found = await self._first_after(model, version, start_us, until_us)
        if found is None:
            return None
        if found.start_us > start_us:  # a row from before the first
            return Stretch(start_us=start_us, end_us=found.start_us)
        if not _is_silence(found):
            return None
        return Stretch(start_us=found.start_us, end_us=found.end_us, record=found)

    async def _first_after(
        self, model: LiveModel, version: LiveVersion, start_us: int, until_us: int
    ) -> EvaluationRow | None:
        """The first record of a base window, or of silence, that ends after a time."""

        async def last_in(low_us: int, high_us: int) -> EvaluationRow | None:
            rows = await self._store.evaluations(
                model.model, version.version, size=base_label(model), first_us=low_us, last_us=high_us, limit=1
            )
            return rows[0] if rows else None

        base_us = model.grid.base_s * US_PER_S
        low_us, step_us = start_us, base_us
        while (found := await last_in(low_us, low_us + step_us)) is None:
            if low_us + step_us >= until_us:
                return None
            low_us, step_us = low_us + step_us, step_us * 2
        while found.end_us - low_us > base_us:
            middle_us = (low_us + found.end_us) // 2
            earlier = await last_in(low_us, middle_us)
            if earlier is None:
                low_us = middle_us
            else:
                found = earlier
        return found

    def _silence(self, model: LiveModel, version: LiveVersion, stretch: Stretch, now_us: int) -> Evaluation:
        if stretch.record is not None and stretch.record.start_us == stretch.start_us:
            reference_id = stretch.record.reference_id
        else:
            reference_id = version.at(model.grid.base_end(stretch.start_us) - 1).reference.id
        return silence(
            model,
            version.version,
            reference_id,
            stretch.start_us,
            stretch.end_us,
            size=base_label(model),
            now_us=now_us,
        )


def _is_silence(row: EvaluationRow) -> bool:
    return row.rows == 0 and msgspec.json.decode(row.document, type=_Head).reason == "silent"
