"""Alert state of one model version and segment, as it is kept between decisions.

Written as JSON with a format, so that a release that does not know a newer one refuses it instead of forgetting half of it.
What has come to it within a format has a default: states from before are read as if it had not happened yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from service.errors import DriftlineError

__all__ = ["AlertState", "Fired", "OpenEpisode", "TriggerState", "Watch", "decode_state", "encode_state"]

_FORMAT: Final = "driftline.alert/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenEpisode:
    """The episode that is open.

    Parameters
    ----------
    id, reference_id : str
    opened_at_us : int
        End of the first firing window.
    sequence : int
        Of the last notice; 0 before the first.
    tier : str or None
        The highest that people were told of.
    silenced_until_us : int or None
        Until then it sends no notices.
    retrained : tuple of str
        Targets that it has told to retrain.
    """

    id: str
    reference_id: str
    opened_at_us: int
    sequence: int = 0
    tier: str | None = None
    silenced_until_us: int | None = None
    retrained: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """That a trigger fired: at the end of which window, and whether this was a dry run."""

    at_us: int
    dry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerState:
    """How far a trigger is.

    Parameters
    ----------
    in_a_row : int
        Drifted decisions in a row whose columns matched.
    fired_at_us : int or None
        End of the window with which it last fired.
    fired_episode : str or None
    dry : bool
        That this was a dry run, which does not hold back a real one.
    lately : tuple of Fired
        As far back as its limit looks, if it has one.
    """

    in_a_row: int = 0
    fired_at_us: int | None = None
    fired_episode: str | None = None
    dry: bool = False
    lately: tuple[Fired, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How a reference has kept to the budget of false alarms, since its first decision under one.

    Parameters
    ----------
    since_us : int or None
        Start of the first window that was decided.
    windows : int
        Windows that were decided.
    expected : float
        False alarms that the budget allows in them.
    episodes : int
        Episodes that were opened.
    accepted : bool
        Somebody took one of them for drift.
    exceeded_us : int or None
        End of the window with which there were too many episodes for the budget.
    """

    since_us: int | None = None
    windows: int = 0
    expected: float = 0.0
    episodes: int = 0
    accepted: bool = False
    exceeded_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """What the lifecycle remembers.

    Parameters
    ----------
    reference_id : str or None
        Of the last decision.
    began_us : int or None
        Start of the first base window that had rows: kept after its counts have gone.
    decided_until_us : int or None
        End of the last window that was decided.
    drifted_in_a_row, stable_in_a_row : int
        Of stable ones only those that are clear count, and the others break the row. Undecided windows neither count nor
        break a row.
    episode : OpenEpisode or None
    cool_until_us : int or None
        Windows that end until then open no episode.
    triggers : mapping of str to TriggerState
    silent_since_us : int or None
        Event time of the last row before a silence that was told of.
    watch : Watch
        Of the reference.
    """

    reference_id: str | None = None
    began_us: int | None = None
    decided_until_us: int | None = None
    drifted_in_a_row: int = 0
    stable_in_a_row: int = 0
    episode: OpenEpisode | None = None
    cool_until_us: int | None = None
    triggers: Mapping[str, TriggerState] = field(default_factory=dict)
    silent_since_us: int | None = None
    watch: Watch = Watch()

    @property
    def phase(self) -> Literal["ok", "firing"]:
        """Firing while an episode is open."""
        return "ok" if self.episode is None else "firing"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    format: str
    state: AlertState


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    format: str


def encode_state(state: AlertState) -> bytes:
    """JSON of a state."""
    return msgspec.json.encode(_Kept(format=_FORMAT, state=state))


def decode_state(document: bytes | None) -> AlertState:
    """State of its JSON; a fresh one where there is none yet.

    Raises
    ------
    DriftlineError
        A format of another release, or no alert state.
    """
    if document is None:
        return AlertState()
    try:
        found = msgspec.json.decode(document, type=_Head).format
        if found != _FORMAT:
            raise DriftlineError(
                f"alert state: got format {found[:64]!r}, wanted {_FORMAT!r}; is it of a newer release?"
            )
        return msgspec.json.decode(document, type=_Kept).state
    except msgspec.MsgspecError as error:
        raise DriftlineError(f"alert state: wanted a document {_FORMAT!r}") from error
