"""Nouns that cross the borders between the service's packages."""

from service.domain.batch import Batch
from service.domain.evaluation import (
    Calibration,
    ColumnEvaluation,
    Direction,
    Evaluation,
    EvidenceName,
    MovedBin,
    Reason,
    Verdict,
    Window,
)

__all__ = [
    "Batch",
    "Calibration",
    "ColumnEvaluation",
    "Direction",
    "Evaluation",
    "EvidenceName",
    "MovedBin",
    "Reason",
    "Verdict",
    "Window",
]
