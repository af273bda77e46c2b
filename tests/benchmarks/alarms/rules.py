"""What can be scored: a rule is fitted on a world's reference and then says of each hour whether it would alarm.

A module of this folder is a rule when it has `fit(world: World) -> Scorer`; `bench_alarms.py --rules` names such modules. One
rule may answer for several rows of the tables, because fitting or measuring is what costs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
from streams import Stream, World

__all__ = ["Rule", "Scorer", "Verdicts"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdicts:
    """What a rule says of consecutive hours, each knowing only itself and the hours before.

    Parameters
    ----------
    fires : ndarray of bool, shape [n_windows]
        At the rule's default setting.
    scores : ndarray of float64, shape [n_windows], optional
        Larger is more drift. A rule with scores is judged at equal false alarms with the threshold that an oracle gives it,
        one without as it is.
    holds : ndarray of bool, shape [n_windows], optional
        Hours that keep an open episode open, where that is easier than opening one (hysteresis).
    facts : mapping of str to float
        Numbers about the stream that are averaged over seeds and printed, such as what a replay expects.
    """

    fires: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float64] | None = None
    holds: npt.NDArray[np.bool_] | None = None
    facts: Mapping[str, float] = field(default_factory=dict)


class Scorer(Protocol):
    """A fitted rule."""

    def score(self, stream: Stream) -> Mapping[str, Verdicts]:
        """Judge each hour of a stream; one entry a row of the tables, always the same names."""
        ...


class Rule(Protocol):
    """A module of this folder that can be named on the command line."""

    def fit(self, world: World) -> Scorer:
        """Prepare on the reference of a world, `world.reference` or `world.fitted`, and nothing else of it."""
        ...
