"""Nouns that cross the borders between the service's packages."""

from service.domain.batch import Batch
from service.domain.evaluation import ColumnEvaluation, Direction, Evaluation, MovedBin, Reason, Verdict, Window

__all__ = ["Batch", "ColumnEvaluation", "Direction", "Evaluation", "MovedBin", "Reason", "Verdict", "Window"]
