"""Alert state of one model version and segment, as it is kept between decisions.

Written as JSON with a format, so that a release that does not know a newer one refuses it instead of forgetting half of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from service.errors import DriftlineError

__all__ = ["AlertState", "OpenEpisode", "TriggerState", "decode_state", "encode_state"]

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
    """

    id: str
    reference_id: str
    opened_at_us: int
    sequence: int = 0
    tier: str | None = None
    silenced_until_us: int | None = None


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
    """

    in_a_row: int = 0
    fired_at_us: int | None = None
    fired_episode: str | None = None
    dry: bool = False


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
        Undecided windows neither count nor break a row.
    episode : OpenEpisode or None
    cool_until_us : int or None
        Windows that end until then open no episode.
    triggers : mapping of str to TriggerState
    silent_since_us : int or None
        Event time of the last row before a silence that was told of.
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
