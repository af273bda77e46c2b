"""What the parts of a model's configuration must have to do with each other."""

import pytest
from pydantic import ValidationError

from service.domain.configuration import ModelConfiguration, ViewConfiguration


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"base_window": "7h"}, "base_window: wanted a divisor of a day"),
        ({"base_window": "1h", "pane": "7m"}, "base_window: wanted a divisor of a day that is a multiple of pane"),
        ({"base_window": "30h"}, "base_window of whole days"),
        ({"base_window": "1d", "pane": "1h"}, "a pane that divides 15m"),
        ({"scales": [0]}, "scales: wanted numbers of base windows"),
        ({"retention": "1d", "scales": [1, 25]}, "scales: wanted numbers of base windows that lie within retention"),
        ({"columns": {"a": {"role": "time"}, "b": {"role": "time"}}}, "more than one has the role 'time'"),
        ({"views": [{"size": "7m"}]}, "views: wanted sizes that are multiples of pane"),
        ({"views": [{"rows": 100, "max_age": "36d"}]}, "views: wanted sizes that are multiples of pane and lie within"),
        ({"views": [{}]}, "wanted either size or rows"),
        ({"views": [{"size": "1d", "rows": 100}]}, "wanted either size or rows"),
        ({"triggers": [{"target": "ci", "max_count": 2}]}, "wanted max_count and max_per, or neither"),
        ({"triggers": [{"target": "ci", "max_per": "30d"}]}, "wanted max_count and max_per, or neither"),
        ({"triggers": [{"target": "ci", "max_count": 0, "max_per": "30d"}]}, "greater than or equal to 1"),
        ({"triggers": [{"target": "ci", "weights": {"a": 2}}]}, "weights: wanted weight_min too"),
        ({"triggers": [{"target": "ci", "weights": {"a": -1}, "weight_min": 1}]}, "greater than or equal to 0"),
        ({"triggers": [{"target": "ci", "weights": {"a": float("inf")}, "weight_min": 1}]}, "finite number"),
        ({"triggers": [{"target": "ci", "weight_min": 0}]}, "greater than 0"),
        ({"triggers": [{"target": "ci", "weight_min": float("nan")}]}, "finite number"),
        (
            {"triggers": [{"target": "ci", "columns": ["a"], "weights": {"b": 1}, "weight_min": 1}]},
            "weights: wanted only columns that are among `columns`",
        ),
        ({"triggers": [{"target": "ci", "tier": "minor"}]}, "'alarm' or 'major'"),
    ],
)
def test_what_does_not_fit_together_is_refused(declared, said):
    with pytest.raises(ValidationError, match=said):
        ModelConfiguration.model_validate(declared)


@pytest.mark.parametrize(
    "declared",
    [
        {},
        {"base_window": "6h"},
        {"base_window": "7d", "scales": [1, 5]},
        {"views": [{"size": "1d"}, {"rows": 1000, "max_age": "30d"}]},
        {"triggers": [{"target": "ci", "max_count": 2, "max_per": "30d", "tier": "alarm"}]},
        {"triggers": [{"target": "ci", "weight_min": 1.5}]},
        {"triggers": [{"target": "ci", "columns": ["a", "b"], "weights": {"b": 0}, "weight_min": 1}]},
    ],
)
def test_what_fits_together_is_taken(declared):
    assert ModelConfiguration.model_validate(declared).model_dump(exclude_unset=True).keys() == declared.keys()


def test_a_view_is_called_by_its_size():
    assert [view.label for view in (ViewConfiguration(size="6h"), ViewConfiguration(rows=500))] == ["6h", "500rows"]


def test_the_time_column_is_the_one_that_is_declared():
    declared = ModelConfiguration.model_validate({"columns": {"temp": {}, "at": {"role": "time"}}})

    assert [declared.time_column, ModelConfiguration().time_column] == ["at", None]
