"""Configuration of a model: what its owner decides. One definition for the YAML file, the HTTP API and the store.

Columns, kinds and bins belong to the reference; windows, policy and targets are here.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from service.domain.declarations import ColumnDeclaration
from service.domain.durations import Duration, ZoneName, parse_duration_s
from service.domain.thumb import ThumbText

__all__ = [
    "DAYS",
    "LearningConfiguration",
    "MetricsConfiguration",
    "ModelConfiguration",
    "Name",
    "PolicyConfiguration",
    "TriggerConfiguration",
    "ViewConfiguration",
]

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""Name of a model, version or target."""

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=256)]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_DAY_S = 86_400
_QUARTER_S = 900  # offsets of time zones are whole quarters of an hour


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicyConfiguration(_Document):
    """When a window counts as drifted, and when that becomes an alert."""

    false_alarms_per_30d: float = Field(
        default=1.0, gt=0, le=1000, description="false alarms that 30 days may have, where the reference is calibrated"
    )
    season: Literal["auto", "none", "day_type", "day_of_week", "hour_of_day", "hour_of_day_type", "hour_of_week"] = (
        Field(
            default="auto",
            description="which base windows are alike; by default what predicts those of the reference best",
        )
    )
    weekend: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        default=("sat", "sun"), max_length=7, description="days that are no workdays, for seasons"
    )
    false_discovery_rate: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="q of Benjamini and Hochberg over the columns of a window, where the reference is not calibrated",
    )
    effect_threshold: float = Field(default=0.005, ge=0, description="excess PSI that a change has to be above")
    trivial_shift: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="a shift of so many standard deviations is no evidence, where the reference is calibrated",
    )
    rows_min: int = Field(default=30, ge=1, description="a column with fewer rows is undecided")
    fire_after: int = Field(default=1, ge=1, le=1000, description="drifted decisions in a row that open an episode")
    resolve_after: int = Field(
        default=6,
        ge=1,
        le=1000,
        description="clear decisions in a row that close it: stable, and where false alarms are budgeted, far from an alarm",
    )
    cool_down: Duration | None = Field(default="1d", description="after an episode, none is opened for so long")
    silence_after: Duration | None = Field(
        default="1d", description="a live source without rows for so long is told of"
    )
    rules: tuple[ThumbText, ...] = Field(
        default=(),
        max_length=16,
        description="rules of thumb such as `psi > 0.2` or `ks p < 0.05`: what they say is shown, and raises no alert",
    )


class TriggerConfiguration(_Document):
    """When an episode starts a retraining, and where."""

    target: Name = Field(description="where the retrain notice goes")
    roles: tuple[Literal["input", "output"], ...] = Field(
        default=("input", "output"), description="only columns of these roles count"
    )
    columns: tuple[ColumnName, ...] | None = Field(default=None, description="only these columns count; all by default")
    columns_min: int = Field(default=1, ge=1, description="so many of them must have drifted in a window")
    weights: dict[ColumnName, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default_factory=dict,
        description="what columns weigh, by name; others weigh 1, and one of weight 0 does not count",
    )
    weight_min: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="those that have drifted must weigh so much together, beside `columns_min`; not asked by default",
    )
    tier: Literal["alarm", "major"] = Field(
        default="major",
        description="only drift of this tier counts, where tiers are known: `major` is beyond a small effect for certain",
    )
    windows_min: int = Field(default=1, ge=1, le=1000, description="for so many decisions in a row")
    cool_down: Duration = Field(default="7d", description="after a retrain notice, none for so long, in event time")
    max_count: int | None = Field(
        default=None, ge=1, le=100, description="at most so many retrain notices in `max_per`; any number by default"
    )
    max_per: Duration | None = Field(default=None, description="the time that `max_count` is of, in event time")
    dry_run: bool | None = Field(
        default=None, description="only record what would have been sent; by default while calibration is not verified"
    )

    @model_validator(mode="after")
    def _can_fire(self) -> Self:
        if (self.max_count is None) != (self.max_per is None):
            raise ValueError("wanted max_count and max_per, or neither")
        if self.weights and self.weight_min is None:
            raise ValueError("weights: wanted weight_min too")
        if self.columns is not None and not self.weights.keys() <= set(self.columns):
            raise ValueError("weights: wanted only columns that are among `columns`")
        return self


class LearningConfiguration(_Document):
    """How much traffic becomes the reference of a version that has none: the first of the two to be reached."""

    rows: int = Field(default=10_000, ge=100, le=10_000_000, description="so many rows")
    span: Duration | None = Field(default=None, description="or what came in so long, if at least 100 rows")
    versions: tuple[Name, ...] = Field(
        default=(), max_length=100, description="versions that are to learn, beside the default"
    )


class ViewConfiguration(_Document):
    """A further window for display: sliding (`size`), or the newest panes with at least `rows` rows."""

    size: Duration | None = Field(default=None, description="length of a sliding window")
    rows: int | None = Field(default=None, ge=1, description="instead: the newest panes with so many rows")
    max_age: Duration = Field(default="7d", description="of the panes of a view by rows")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.size is None) == (self.rows is None):
            raise ValueError("wanted either size or rows")
        return self

    @property
    def label(self) -> str:
        """Its size as a label: `1d`, or `1000rows`."""
        return self.size if self.size is not None else f"{self.rows}rows"


class MetricsConfiguration(_Document):
    """What of a model is exported."""

    statistics: tuple[str, ...] = Field(
        default=("psi", "ks", "kl", "js_distance"), description="those that are exported; all are in the evaluation"
    )
    columns_max: int = Field(default=200, ge=1, description="beyond, only the columns with the smallest p-values")


class ModelConfiguration(_Document):
    """Configuration of one model."""

    default_version: Name | None = Field(default=None, description="of requests that name none; by default the newest")
    time_zone: ZoneName = Field(
        default="UTC", description="IANA name: of times without a zone, and of base windows of whole days"
    )
    columns: dict[ColumnName, ColumnDeclaration] = Field(
        default_factory=dict, description="`role` and `kind` by name, as in columns.yaml; what is not named is inferred"
    )
    pane: Duration = Field(default="5m", description="what counts are stored by at first")
    base_window: Duration = Field(default="1h", description="what is evaluated for good, once")
    retention: Duration = Field(
        default="35d", description="counts are kept so long, in event time; older rows are refused as too_old"
    )
    fold_after: Duration = Field(default="2d", description="older panes are folded into base windows")
    lateness: Duration = Field(
        default="2m", description="a window is closed when the newest event is so far beyond its end"
    )
    clock_skew: Duration = Field(default="1m", description="rows further ahead of the clock are refused as future")
    live_horizon: Duration = Field(
        default="1h", description="a source whose newest event is older when it comes is a replay: silence says nothing"
    )
    provisional_every: Duration = Field(default="30s", description="the open window is looked at so often")
    scales: tuple[int, ...] = Field(
        default=(1, 6, 24),
        min_length=1,
        max_length=8,
        description="numbers of base windows that are evaluated together",
    )
    views: tuple[ViewConfiguration, ...] = Field(
        default=(), max_length=8, description="further windows, for display only"
    )
    policy: PolicyConfiguration = PolicyConfiguration()
    learning: LearningConfiguration = LearningConfiguration()
    metrics: MetricsConfiguration = MetricsConfiguration()
    notify: tuple[Name, ...] = Field(default=(), max_length=32, description="targets of alert notices")
    triggers: tuple[TriggerConfiguration, ...] = Field(
        default=(), max_length=32, description="what starts a retraining"
    )
    ack: Literal["committed", "received"] = Field(
        default="committed", description="answer when rows are in the store, or when they are in the buffer"
    )

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        pane_s, base_s = parse_duration_s(self.pane), parse_duration_s(self.base_window)
        if base_s < _DAY_S:
            if _DAY_S % base_s or base_s % pane_s:
                raise ValueError("base_window: wanted a divisor of a day that is a multiple of pane, or whole days")
        elif base_s % _DAY_S or _QUARTER_S % pane_s:
            raise ValueError("base_window of whole days: wanted a multiple of 1d, and a pane that divides 15m")
        retention_s = parse_duration_s(self.retention)
        if any(scale < 1 or scale * base_s > retention_s for scale in self.scales):
            raise ValueError("scales: wanted numbers of base windows that lie within retention")
        if sum(column.role == "time" for column in self.columns.values()) > 1:
            raise ValueError("columns: more than one has the role 'time'")
        for view in self.views:
            size_s = parse_duration_s(view.size if view.size is not None else view.max_age)
            if size_s > retention_s or size_s % pane_s:
                raise ValueError("views: wanted sizes that are multiples of pane and lie within retention")
        return self

    @property
    def time_column(self) -> str | None:
        """The column that is declared to be the time."""
        return next((name for name, column in self.columns.items() if column.role == "time"), None)
