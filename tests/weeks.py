"""Weeks of hourly traffic, and references of them whose base windows are known; for tests of the calibrated alarm."""

import functools
from zoneinfo import ZoneInfo

import numpy as np
from making import reference_of

from detectors.binning import ColumnValues
from service.calibration.calibrated import calibrated, with_replay
from service.calibration.settings import CalibrationSettings

HOUR_S = 3600
DAY_S = 24 * HOUR_S
MONDAY_S = 1_767_571_200  # 2026-01-05T00:00:00Z
US = 1_000_000
UTC = ZoneInfo("UTC")
COLORS = np.array(["red", "green", "blue"], dtype=object)


def starts_of(windows, *, first_s=MONDAY_S, base_s=HOUR_S):
    """Starts of consecutive base windows, in seconds."""
    return first_s + base_s * np.arange(windows, dtype=np.int64)


def traffic(starts_s, n, *, seed=0, level=0.0, noise=0.0, shift=0.0, missing=0.0):
    """So many rows in each base window: two numbers and a category, and times evenly within the window.

    `level` is a number, or one a window, that x lies higher by (a season); `noise` is the deviation of what all rows of a
    window have in common; `shift` is drift of x and y.
    """
    rng = np.random.default_rng([seed, int(starts_s[0]), len(starts_s), n])
    windows = len(starts_s)
    length_us = int(np.diff(starts_s).min(initial=DAY_S)) * US if windows > 1 else HOUR_S * US
    common = noise * rng.standard_normal((windows, 2))
    of_window = np.repeat(np.arange(windows), n)
    rows = windows * n
    level = np.broadcast_to(level, windows)
    x = rng.standard_normal(rows) + level[of_window] + common[of_window, 0] + shift
    y = rng.standard_normal(rows) + common[of_window, 1] + shift
    if missing:
        y[rng.random(rows) < missing] = np.nan
    return {
        "at": np.repeat(np.asarray(starts_s, dtype=np.int64) * US, n) + np.tile(np.arange(n) * length_us // n, windows),
        "x": x,
        "c": COLORS[rng.integers(0, 3, rows)],
        "y": y,
    }


def columns_of(rows):
    """Rows as columns without their times; what is no number is missing."""
    return {
        name: ColumnValues(values=values, missing=np.isnan(values)) if values.dtype.kind == "f" else values
        for name, values in rows.items()
        if name != "at"
    }


def reference_of_traffic(rows, *, base_s=HOUR_S, **facts):
    """Reference of rows with times; base windows are whole multiples of their length since the epoch, unless `blocks` says."""
    facts.setdefault("blocks", rows["at"] // US // base_s * base_s)
    return reference_of(columns_of(rows), roles={"y": "output"}, resolution=32, **facts)


@functools.cache
def weeks_reference(weeks=4, n=60, *, noise=0.0, seed=1, **facts):
    """Reference of some weeks in which nothing happened; without a replay."""
    return reference_of_traffic(traffic(starts_of(weeks * 168), n, noise=noise, seed=seed), **facts)


@functools.cache
def replayed(weeks=4, n=60, *, settings=None, noise=0.0, seed=1):
    """The same with its replay, and its alarm."""
    return with_replay(weeks_reference(weeks, n, noise=noise, seed=seed), settings or CalibrationSettings(), UTC)


def alarm_of(reference, *, settings=None, zone=UTC, base_s=HOUR_S):
    """The alarm of a reference, as the service has it."""
    return calibrated(reference, settings or CalibrationSettings(time_zone=zone.key), zone, base_s)
