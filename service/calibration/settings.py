"""What a calibration depends on, beside the reference. Pure."""

from dataclasses import dataclass
from typing import Final

from service.domain.configuration import DAYS, ModelConfiguration

__all__ = ["DEFAULT_SCALES", "CalibrationSettings", "settings_of"]

DEFAULT_SCALES: Final = (1, 6, 24)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSettings:
    """What a calibration depends on, beside the reference.

    Parameters
    ----------
    scales : tuple of int
    effect_threshold : float
    trivial_shift : float
    rows_min : int
    season : str
        `auto`, or one of `SEASONS`.
    weekend : tuple of int
        Days of the weekend; Monday is 0.
    time_zone : str
    """

    scales: tuple[int, ...] = DEFAULT_SCALES
    effect_threshold: float = 0.005
    trivial_shift: float = 0.02
    rows_min: int = 30
    season: str = "auto"
    weekend: tuple[int, ...] = (5, 6)
    time_zone: str = "UTC"


def settings_of(configuration: ModelConfiguration) -> CalibrationSettings:
    """What of a model's configuration its calibration depends on."""
    policy = configuration.policy
    return CalibrationSettings(
        scales=tuple(dict.fromkeys(configuration.scales)),
        effect_threshold=policy.effect_threshold,
        trivial_shift=policy.trivial_shift,
        rows_min=policy.rows_min,
        season=policy.season,
        weekend=tuple(sorted({DAYS.index(day) for day in policy.weekend})),
        time_zone=configuration.time_zone,
    )
