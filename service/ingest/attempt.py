"""Requests on their way to the store, and what those for one model come to: one commit."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from service.ingest.pending import Answer, Asker, Pending
from service.ports import Commit, Delta, Mark, Tally
from service.registry.models import LiveModel

__all__ = ["Attempt", "Waiting"]


class Waiting:
    """A request on its way to the store.

    Parameters
    ----------
    pending : Pending
    size_bytes : int
    asker : Asker or None
        None if its sender does not wait for the commit.
    number : int
        If nobody waits: no other request of the buffer has it.
    since_s : float
        If nobody waits: when it came.

    Attributes
    ----------
    rows : int
    key : str or None
        Identity of the request, if it has one.
    rows_id : str
        Of the rows that it was first sent to the store with, if nobody waits for them.
    ended : bool
        Whether its fate is settled: what is counted must never be counted again.
    counted : bool
        Whether that was to be counted.
    aside : bool
        Whether its model is being read again: then nothing is done with it.
    """

    __slots__ = (
        "aside",
        "asker",
        "counted",
        "ended",
        "key",
        "number",
        "pending",
        "rows",
        "rows_id",
        "since_s",
        "size_bytes",
    )

    def __init__(
        self, pending: Pending, size_bytes: int, asker: Asker | None, number: int = 0, since_s: float = 0.0
    ) -> None:
        self.pending = pending
        self.size_bytes = size_bytes
        self.asker = asker
        self.rows = pending.rows
        self.key = None if pending.key is None else pending.key.key
        self.number = number
        self.since_s = since_s
        self.rows_id = ""
        self.ended = self.counted = self.aside = False


@dataclass(slots=True, kw_only=True, eq=False)
class Attempt:
    """Counts of one model, with the requests they are of.

    Parameters
    ----------
    live : LiveModel
    tallied : bool
        Whether the store is told of the fates of rows.
    again : sequence of Waiting
        Requests that repeat the key of another one here.
    process : str
        Differs from that of all other processes.
    deltas : list of Delta
    newest_us : dict of str to int
        Largest event time that was counted, by version.
    answers : list of (Waiting, Answer)
    """

    live: LiveModel
    tallied: bool
    again: Sequence[Waiting]
    deltas: list[Delta] = field(default_factory=list)
    newest_us: dict[str, int] = field(default_factory=dict)
    answers: list[tuple[Waiting, Answer]] = field(default_factory=list)
    process: str

    @property
    def waiting(self) -> list[Waiting]:
        """All requests that it decides over."""
        return [*(one for one, _ in self.answers), *self.again]

    @property
    def rows_id(self) -> str:
        """Of rows that nobody waits for: drawn once, and the same when some of them have gone meanwhile."""
        waiting = [one for one, _ in self.answers if one.asker is None]
        if waiting and not waiting[0].rows_id:
            numbers = array("Q", sorted(one.number for one in waiting))
            drawn = self.process + blake2b(numbers.tobytes(), digest_size=16).hexdigest()
            for one in waiting:
                one.rows_id = drawn
        return waiting[0].rows_id if waiting else ""

    @property
    def marks(self) -> list[Mark]:
        """Of the requests that have a key."""
        return [
            Mark(key=one.pending.key.key, digest=one.pending.key.digest, answer=answer.body())
            for one, answer in self.answers
            if one.pending.key is not None
        ]

    @property
    def worth_it(self) -> bool:
        """Whether there is anything that the store has to know."""
        if self.deltas or any(one.key is not None for one, _ in self.answers):
            return True
        return self.tallied and any(answer.rejected for _, answer in self.answers)

    @property
    def tally(self) -> Tally:
        """Fates of the rows."""
        if not self.tallied:
            return Tally()
        rejected: Counter[str] = Counter()
        for _, answer in self.answers:
            if answer.reasons:
                rejected.update(answer.reasons)
        return Tally(
            accepted=sum(delta.rows for delta in self.deltas),
            late=sum(answer.late for _, answer in self.answers),
            rejected=rejected,
            ignored_cells=sum(one.pending.decoded.ignored_cells for one, _ in self.answers),
        )

    @property
    def commit(self) -> Commit:
        """What is asked of the store."""
        return Commit(
            model=self.live.model,
            epoch=self.live.epoch,
            deltas=self.deltas,
            marks=self.marks,
            newest_us=self.newest_us,
            tally=self.tally,
            rows_id=self.rows_id,
        )
