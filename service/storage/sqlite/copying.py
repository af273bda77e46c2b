"""A file as something that is copied from or to: its rows as they are, page by page."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Self, cast

from service.errors import StoreUnavailableError
from service.ports import (
    Activation,
    Delivery,
    EpisodeRow,
    EvaluationRow,
    Mark,
    ModelRow,
    Pane,
    ReferenceRow,
    Series,
    Turn,
)
from service.storage.copying import (
    PAGE_ROWS,
    AlertCopy,
    Common,
    DecisionCopy,
    DeliveryCopy,
    EpisodeCopy,
    MarkCopy,
    ModelCopy,
    PaneCopy,
    ReferenceCopy,
    Row,
    Table,
    TurnCopy,
    VersionCopy,
)
from service.storage.sqlite import opening
from service.storage.sqlite.failures import translated
from service.storage.sqlite.inspecting import check_is_store

__all__ = ["SqliteCopy"]

_LOCK_TIMEOUT_S: Final = 10.0
_OF: Final = "model_id = (SELECT id FROM models WHERE model = ?1)"
_NAMES: Final = """
    SELECT model FROM models UNION SELECT model FROM model_references UNION SELECT model FROM deliveries ORDER BY 1"""
_PANES: Final = f"""
    WITH mine AS (SELECT id, version, reference_id, segment FROM series WHERE {_OF})
    SELECT mine.id, version, reference_id, segment, pane_start_us, window_start_us FROM mine JOIN panes ON series_id = mine.id
    UNION
    SELECT mine.id, version, reference_id, segment, pane_start_us, window_start_us FROM mine JOIN deltas ON series_id = mine.id
    ORDER BY 2, 3, 4, 5, 6"""  # noqa: S608 - text of ours
_PARTS: Final = """
    SELECT {summed}, rows, late, payload FROM {table}
    WHERE series_id = ? AND pane_start_us = ? AND window_start_us = ? ORDER BY id"""
_SELECT: Final[dict[Table, str]] = {
    "models": "SELECT id, model, epoch, owner, configuration FROM models WHERE model = ?",
    "references": "SELECT id, model, version, state, created_at_us, updated_at_us, summary, document FROM model_references "
    "WHERE model = ? ORDER BY number",
    "panes": _PANES,
    "versions": f"SELECT version, newest_us, advanced_at_us, evaluated_until_us FROM progress WHERE {_OF} "  # noqa: S608
    "AND coalesce(newest_us, evaluated_until_us) IS NOT NULL ORDER BY version",
    "marks": f'SELECT "key", digest, answer, at_us FROM marks WHERE {_OF} ORDER BY number',  # noqa: S608
    "turns": f"SELECT sender, number, at_us FROM turns WHERE {_OF} ORDER BY at_us, sender",  # noqa: S608
    "evaluations": "SELECT ?1, version, segment, reference_id, size, start_us, end_us, verdict, rows, revision, "  # noqa: S608 - text of ours
    f"document FROM evaluations WHERE {_OF} ORDER BY sequence",
    "alerts": f"SELECT version, segment, revision, document FROM alerts WHERE {_OF} ORDER BY 1, 2",  # noqa: S608
    "episodes": "SELECT number, until_us, id, ?1, version, opened_at_us, open, revision, document FROM episodes "  # noqa: S608 - text of ours
    f"WHERE {_OF} ORDER BY opened_at_us, number",
    "decisions": f"SELECT version, end_us, document FROM decisions WHERE {_OF} ORDER BY id",  # noqa: S608
    "deliveries": "SELECT number, id, target, order_key, sequence, model, notice, state, attempts, created_at_us, "
    "next_attempt_us, updated_at_us, last FROM deliveries WHERE model = ? ORDER BY created_at_us, number",
}


class SqliteCopy:
    """A file that nobody else writes to; made by `of` and `to`."""

    def __init__(self, path: Path, output: Path | None = None) -> None:
        with translated():
            opening.prepare(path, opening.scripts(), lock_timeout_s=_LOCK_TIMEOUT_S)
            self._connection = opening.connect(path, durability="process", lock_timeout_s=_LOCK_TIMEOUT_S)
        self._path, self._output = path, output

    @classmethod
    async def of(cls, path: Path) -> Self:
        """A file to copy from; one of an earlier version is brought up to date, as the next start would.

        Raises
        ------
        StoreUnavailableError
            It is no store.
        """
        check_is_store(path)
        return cls(path)

    @classmethod
    async def to(cls, path: Path, *, replace: bool) -> Self:
        """A file to copy to, which is there when the copy is whole: until then another one beside it has it.

        Raises
        ------
        StoreUnavailableError
            There is a file already.
        """
        if path.exists() and not replace:  # noqa: ASYNC240 - nothing else runs
            raise StoreUnavailableError(f"{path}: is there already; --replace replaces it")
        part = path.with_name(f"{path.name}.part")
        _remove(part)
        return cls(part, path)

    async def finish(self) -> None:
        """Put the whole copy where it was asked for."""
        await self.close()
        if self._output is not None:
            _remove(self._output)
            self._path.replace(self._output)

    async def close(self) -> None:
        """Let go of the file, and of what was not finished."""
        self._connection.close()

    async def names(self) -> Sequence[str]:
        """Of all models of which anything is kept."""
        return [name for (name,) in self._rows(_NAMES, ())]

    async def pages(self, model: str, table: Table) -> AsyncIterator[Sequence[Row]]:
        """All rows of a model in a table, some at a time."""
        with translated():
            cursor = self._connection.execute(_SELECT[table], (model,))
        read = {"models": self._model, "panes": self._pane_of(model), "versions": self._version_of(model)}
        one = cast("Callable[..., Row]", read.get(table) or _READ[table])
        while True:
            with translated():
                rows = cursor.fetchmany(PAGE_ROWS)
            if not rows:
                return
            yield [one(*row) for row in rows]

    async def common(self) -> Common:
        """What belongs to no model."""
        disabled = dict(self._rows("SELECT target, reason FROM targets_disabled", ()))
        ((epoch,),) = self._rows("SELECT value FROM counters WHERE name = 'epoch'", ())
        return Common(disabled=disabled, epoch=epoch)

    async def put_common(self, common: Common) -> None:
        """Keep what belongs to no model."""
        self._write("INSERT INTO targets_disabled VALUES (?, ?)", common.disabled.items())
        self._write("UPDATE counters SET value = ? WHERE name = 'epoch'", [(common.epoch,)])

    async def put(self, model: str, table: Table, rows: Sequence[Row]) -> None:  # noqa: ARG002 - rows say it themselves
        """Keep rows of a model."""
        found = self._rows("SELECT id FROM models WHERE model = ?", (model,))
        model_id = found[0][0] if found else None
        with translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                for row in rows:
                    self._put(model_id, row)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _put(self, model_id: int | None, row: Row) -> None:  # noqa: C901, PLR0912 - a case a table
        match row:
            case ModelCopy(row=one, made=made):
                self._insert("models", made, one.model, one.epoch, one.owner, one.configuration)
                for was in one.activations:
                    self._insert("activations", None, made, was.version, was.reference_id, was.from_us, was.at_us)
            case ReferenceCopy(row=reference, document=document):
                place = (None, reference.model, reference.id, reference.version, reference.state)
                times = (reference.created_at_us, reference.updated_at_us)
                self._insert("model_references", *place, *times, reference.summary, document)
            case PaneCopy():
                self._put_pane(model_id, row)
            case VersionCopy():
                reached = (row.newest_us, row.advanced_at_us, row.evaluated_until_us)
                self._insert("progress", model_id, row.version, *reached)
                for window_us, times_dirty in row.dirty.items():
                    self._insert("dirty", model_id, row.version, window_us, times_dirty)
            case MarkCopy(mark=mark, at_us=at_us):
                self._connection.execute(_NUMBER_MARK, (model_id,))
                ((number,),) = self._rows("SELECT number FROM marks_made WHERE model_id = ?", (model_id,))
                self._insert("marks", model_id, number, mark.key, mark.digest, mark.answer, at_us)
            case TurnCopy(turn=turn, at_us=at_us):
                self._insert("turns", model_id, turn.sender, turn.number, at_us)
            case EvaluationRow():
                key = (row.version, row.segment, row.reference_id, row.size, row.start_us, row.end_us)
                said = (row.verdict, row.rows, row.revision, row.document)
                self._insert("evaluations", None, model_id, *key, *said)
            case AlertCopy():
                self._insert("alerts", model_id, row.version, row.segment, row.revision, row.document)
            case EpisodeCopy(row=episode):
                opened = (episode.id, model_id, episode.version, episode.opened_at_us, episode.open)
                self._insert("episodes", row.number, *opened, row.until_us, episode.revision, episode.document)
            case DecisionCopy():
                self._insert("decisions", None, model_id, row.version, row.end_us, row.document)
            case DeliveryCopy(delivery=one_way):
                self._put_delivery(row.number, one_way)

    def _put_pane(self, model_id: int | None, row: PaneCopy) -> None:
        series, pane = row.series, row.pane
        key = (model_id, series.version, series.reference_id, series.segment)
        known = self._rows(_SERIES, key)
        if not known:
            self._insert("series", None, *key)
            known = self._rows(_SERIES, key)
        place = (None, known[0][0], pane.start_us, pane.window_start_us)
        # Which part has how many rows only their sum says: the first has them all.
        rows, late = pane.rows, pane.late
        for number, payload in enumerate(pane.payloads):
            table = "panes" if row.summed and number == 0 else "deltas"
            self._insert(table, *place, rows, late, payload)
            rows = late = 0

    def _put_delivery(self, number: int, one: Delivery) -> None:
        place = (number, one.id, one.target, one.order_key, one.sequence, one.model, one.state, one.attempts)
        times = (one.created_at_us, one.next_attempt_us, one.updated_at_us)
        self._insert("deliveries", *place, *times, one.last, None, 0, one.notice)

    def _insert(self, table: str, *values: Any) -> None:
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608 - names of ours

    def _rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        with translated():
            return self._connection.execute(statement, values).fetchall()

    def _write(self, statement: str, values: Iterable[Sequence[Any]]) -> None:
        with translated():
            self._connection.executemany(statement, values)

    def _model(self, made: int, model: str, epoch: int, owner: str, configuration: bytes) -> ModelCopy:
        activations = self._rows(_ACTIVATIONS, (made,))
        row = ModelRow(
            model=model,
            epoch=epoch,
            owner="file" if owner == "file" else "api",
            configuration=configuration,
            activations=tuple(
                Activation(version=version, reference_id=reference_id, from_us=from_us, at_us=at_us)
                for version, reference_id, from_us, at_us in activations
            ),
        )
        return ModelCopy(row=row, made=made)

    def _pane_of(self, model: str) -> Callable[..., PaneCopy]:
        def pane(series_id: int, version: str, reference: str, segment: str, *place: int) -> PaneCopy:
            start_us, window_us = place
            key = (series_id, start_us, window_us)
            parts = [
                part
                for table, summed in (("panes", 1), ("deltas", 0))
                for part in self._rows(_PARTS.format(table=table, summed=summed), key)
            ]
            return PaneCopy(
                series=Series(model=model, version=version, reference_id=reference, segment=segment),
                pane=Pane(
                    start_us=start_us,
                    window_start_us=window_us,
                    rows=sum(rows for _, rows, _, _ in parts),
                    late=sum(late for _, _, late, _ in parts),
                    payloads=tuple(payload for *_, payload in parts),
                ),
                summed=bool(parts[0][0]),
            )

        return pane

    def _version_of(self, model: str) -> Callable[..., VersionCopy]:
        def version(name: str, newest_us: int | None, advanced_us: int | None, until_us: int | None) -> VersionCopy:
            dirty = dict(self._rows(_DIRTY, (model, name)))
            return VersionCopy(
                version=name,
                newest_us=newest_us,
                advanced_at_us=advanced_us,
                evaluated_until_us=until_us,
                dirty=dirty,
            )

        return version


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


_SERIES: Final = "SELECT id FROM series WHERE model_id = ? AND version = ? AND reference_id = ? AND segment = ?"
_ACTIVATIONS: Final = "SELECT version, reference_id, from_us, at_us FROM activations WHERE model_id = ? ORDER BY id"
_DIRTY: Final = f"SELECT window_start_us, times FROM dirty WHERE {_OF} AND version = ?2 ORDER BY 1"  # noqa: S608
_NUMBER_MARK: Final = "INSERT INTO marks_made VALUES (?, 1) ON CONFLICT (model_id) DO UPDATE SET number = number + 1"


def _reference(*values: Any) -> ReferenceCopy:
    names = ("id", "model", "version", "state", "created_at_us", "updated_at_us", "summary")
    return ReferenceCopy(row=ReferenceRow(**dict(zip(names, values, strict=False))), document=values[-1])


def _mark(key: str, digest: bytes, answer: bytes, at_us: int) -> MarkCopy:
    return MarkCopy(mark=Mark(key=key, digest=digest, answer=answer), at_us=at_us)


def _turn(sender: str, number: int, at_us: int) -> TurnCopy:
    return TurnCopy(turn=Turn(sender=sender, number=number), at_us=at_us)


def _evaluation(*values: Any) -> EvaluationRow:
    return EvaluationRow(**dict(zip(EvaluationRow.__slots__, values, strict=True)))


def _alert(version: str, segment: str, revision: int, document: bytes) -> AlertCopy:
    return AlertCopy(version=version, segment=segment, revision=revision, document=document)


def _episode(number: int, until_us: int, *values: Any) -> EpisodeCopy:
    fields = dict(zip(("id", "model", "version", "opened_at_us", "open", "revision", "document"), values, strict=True))
    return EpisodeCopy(number=number, until_us=until_us, row=EpisodeRow(**fields | {"open": bool(fields["open"])}))


def _decision(version: str, end_us: int, document: bytes) -> DecisionCopy:
    return DecisionCopy(version=version, end_us=end_us, document=document)


def _delivery(number: int, *values: Any) -> DeliveryCopy:
    return DeliveryCopy(number=number, delivery=Delivery(**dict(zip(Delivery.__slots__, values, strict=True))))


_READ: Final[dict[str, Callable[..., Row]]] = {
    "references": _reference,
    "marks": _mark,
    "turns": _turn,
    "evaluations": _evaluation,
    "alerts": _alert,
    "episodes": _episode,
    "decisions": _decision,
    "deliveries": _delivery,
}
