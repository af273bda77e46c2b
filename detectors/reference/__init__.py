"""The reference: what the past of a model version looked like."""

from detectors.reference.builder import Builder
from detectors.reference.form import FORMAT, from_form, reference_id, to_form
from detectors.reference.model import Blocks, Reference
from detectors.reference.plan import CATEGORIES_MAX, ColumnPlan, plan_of
from detectors.reference.survey import (
    CategoricalSurvey,
    NumericSurvey,
    add_all,
    priorities,
    sample_rows_for,
    survey_of,
)

__all__ = [
    "CATEGORIES_MAX",
    "FORMAT",
    "Blocks",
    "Builder",
    "CategoricalSurvey",
    "ColumnPlan",
    "NumericSurvey",
    "Reference",
    "add_all",
    "from_form",
    "plan_of",
    "priorities",
    "reference_id",
    "sample_rows_for",
    "survey_of",
    "to_form",
]
