"""Live models: configuration, versions and references as they are in force now.

Read from the store once and kept while the model's epoch stays; a commit that was counted by an older epoch is refused by
the store, so that what is kept here may be a moment old without harm. References are immutable and shared by their id.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal
from weakref import WeakValueDictionary

import numpy as np

from detectors.arrays import IndexArray
from detectors.binning import Binner
from detectors.columns import Role
from detectors.reference import Reference
from service.domain.configuration import ModelConfiguration
from service.domain.durations import parse_duration_s, zone_of
from service.errors import UnusableReferenceError
from service.ports import LEARNING, CountsStore, ModelRow, Series
from service.registry.reference_file import reference_of_bytes
from service.windows.grid import Grid
from service.windows.watermark import Lateness
from service.windows.zones import US_PER_S, UsArray

__all__ = ["LiveModel", "LiveReference", "LiveVersion", "Registry", "Since"]

FIRST_VERSION: Final = "1"
"""Name of the version of a model that nobody has named one of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveReference:
    """A reference, ready to count with."""

    id: str
    reference: Reference

    @cached_property
    def binner(self) -> Binner:
        """Bins by this reference."""
        return Binner(self.reference.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """A reference and the event time from which it counts; the first has no beginning (None).

    `at_us` is the store's clock when it was made active.
    """

    from_us: int | None
    reference: LiveReference
    at_us: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveVersion:
    """One version of a model.

    Parameters
    ----------
    version : str
    since : sequence of Since
        In the order of their beginnings; empty while the version learns.
    """

    model: str
    version: str
    since: Sequence[Since]

    @property
    def learning(self) -> bool:
        """Whether it has no reference yet."""
        return not self.since

    @property
    def active(self) -> LiveReference | None:
        """The reference that counts the newest rows."""
        return self.since[-1].reference if self.since else None

    def which(self, times_us: UsArray) -> IndexArray:
        """Number in `since` of the reference that was active at each time; shape [n]."""
        starts = np.array([item.from_us for item in self.since[1:]], dtype=np.int64)
        return np.searchsorted(starts, times_us, side="right").astype(np.intp)

    def at(self, time_us: int) -> Since:
        """The reference that was active at a time."""
        return self.since[int(self.which(np.array([time_us], dtype=np.int64))[0])]

    def series(self, reference_id: str | None = None) -> Series:
        """Whose counts: of one reference, or of what it learns."""
        return Series(model=self.model, version=self.version, reference_id=reference_id or LEARNING)

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """Columns that any of its references knows, those of the newest first."""
        names = dict.fromkeys(
            column.name for item in reversed(self.since[-2:]) for column in item.reference.reference.columns
        )
        return tuple(names)


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveModel:
    """A model as it is in force."""

    model: str
    epoch: int
    owner: Literal["api", "file"]
    configuration: ModelConfiguration
    versions: dict[str, LiveVersion]

    @cached_property
    def default_version(self) -> str:
        """The version of requests that name none."""
        if self.configuration.default_version is not None:
            return self.configuration.default_version
        return next(reversed(self.versions), FIRST_VERSION)

    def version(self, name: str | None) -> LiveVersion | None:
        """A version by its name, the default one by None; None if there is no such."""
        return self.versions.get(name if name is not None else self.default_version)

    @cached_property
    def grid(self) -> Grid:
        """Where its panes and base windows lie."""
        return Grid(
            pane_s=parse_duration_s(self.configuration.pane),
            base_s=parse_duration_s(self.configuration.base_window),
            time_zone=zone_of(self.configuration.time_zone),
        )

    @cached_property
    def lateness(self) -> Lateness:
        """How long rows are waited for."""
        return Lateness(
            lateness_us=parse_duration_s(self.configuration.lateness) * US_PER_S,
            live_horizon_us=parse_duration_s(self.configuration.live_horizon) * US_PER_S,
        )

    @cached_property
    def retention_us(self) -> int:
        """How long counts are kept, in event time."""
        return parse_duration_s(self.configuration.retention) * US_PER_S

    @cached_property
    def clock_skew_us(self) -> int:
        """How far in the future a row may lie."""
        return parse_duration_s(self.configuration.clock_skew) * US_PER_S

    @cached_property
    def roles(self) -> Mapping[str, Role]:
        """Declared roles of monitored columns."""
        return {
            name: column.role
            for name, column in self.configuration.columns.items()
            if column.role in {"input", "output"}
        }

    @cached_property
    def unmonitored(self) -> frozenset[str]:
        """Columns that are declared to be something else than inputs and outputs."""
        return frozenset(
            name
            for name, column in self.configuration.columns.items()
            if column.role is not None and column.role not in {"input", "output"}
        )


class Registry:
    """Live models by name.

    Parameters
    ----------
    store : CountsStore
    """

    def __init__(self, store: CountsStore) -> None:
        self._store = store
        self._models: dict[str, LiveModel] = {}
        self._references: WeakValueDictionary[str, LiveReference] = WeakValueDictionary()
        self._reading: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def models(self) -> Mapping[str, LiveModel]:
        """All that are known, by name."""
        return self._models

    def get(self, model: str) -> LiveModel | None:
        """A model as it was when last read."""
        return self._models.get(model)

    async def refresh(self, model: str | None = None) -> None:
        """Read again what has changed: of one model, or of all."""
        if model is not None:
            await self._read(model)
            return
        known = dict(self._models)
        epochs = await self._store.epochs()
        for name, live in known.items():
            if name not in epochs and self._models.get(name) is live:  # else it was made again meanwhile
                del self._models[name]
        for name, epoch in epochs.items():
            if self._epoch(name) != epoch:
                await self._read(name)

    async def reference(self, model: str, reference_id: str) -> LiveReference:
        """A reference of a model, ready to count with.

        Raises
        ------
        UnusableReferenceError
            The store does not have it.
        """
        known = self._references.get(reference_id)
        if known is not None:
            return known
        document = await self._store.reference_document(model, reference_id)
        if document is None:
            raise UnusableReferenceError(f"reference {reference_id}: not in the store")
        # Tenths of a second for a wide model: not on the event loop.
        reference = await asyncio.to_thread(reference_of_bytes, document, f"reference {reference_id}")
        live = LiveReference(id=reference_id, reference=reference)
        return self._references.setdefault(reference_id, live)

    async def _read(self, model: str) -> None:
        """Read a model: one after the other who asks for the same, for what was read first must not be kept last."""
        reading = self._reading.setdefault(model, asyncio.Lock())
        async with reading:
            row = await self._store.model(model)
            if row is None:
                self._models.pop(model, None)
            elif self._epoch(model) != row.epoch:
                self._models[model] = await self._live(row)

    def _epoch(self, model: str) -> int | None:
        live = self._models.get(model)
        return None if live is None else live.epoch

    async def _live(self, row: ModelRow) -> LiveModel:
        configuration = ModelConfiguration.model_validate_json(row.configuration)
        activations: dict[str, list[Since]] = {}
        for activation in row.activations:
            reference = await self.reference(row.model, activation.reference_id)
            activations.setdefault(activation.version, []).append(
                Since(from_us=activation.from_us, reference=reference, at_us=activation.at_us)
            )
        declared = [*configuration.learning.versions]
        if configuration.default_version is not None:
            declared.append(configuration.default_version)
        if not declared and not activations:
            declared.append(FIRST_VERSION)
        names = dict.fromkeys([*declared, *activations])
        return LiveModel(
            model=row.model,
            epoch=row.epoch,
            owner=row.owner,
            configuration=configuration,
            versions={
                name: LiveVersion(model=row.model, version=name, since=_in_force(activations.get(name, ())))
                for name in names
            },
        )


def _in_force(activations: Sequence[Since]) -> tuple[Since, ...]:
    """Activations by their beginnings; a later one replaces those that would have begun after it."""
    kept: list[Since] = []
    for item in activations:
        while kept and (item.from_us is None or (kept[-1].from_us is not None and kept[-1].from_us >= item.from_us)):
            kept.pop()
        kept.append(item)
    return tuple(kept)
