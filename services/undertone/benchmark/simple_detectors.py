"""The detectors that people use today, each over a small grid of settings.

Pure functions of a subject's stories. Each is given what undertone gives itself: the same model's
scores, near-copies dropped, a decision at every story instead of once an hour or a day, a least
number of stories, and a cooldown.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from undertone.benchmark.series import Series
from undertone.trends.windows import HOUR_MS

DAY_HOURS = 24
# Nothing is usual before a day has been heard.
LEAST_HISTORY_HOURS = DAY_HOURS

COOLDOWNS_HOURS = (6, 24, 72, 168)
CUSTOMARY_COOLDOWN_HOURS = 24

Setting = Mapping[str, float]
Holds = NDArray[np.bool_]


class SimpleDetector(Protocol):
    """A condition on the stories of one subject, and the settings that are tried of it."""

    @property
    def name(self) -> str:
        """What it is called in the results."""

    @property
    def customary(self) -> Setting:
        """The setting that stands for it where no truth can choose one."""

    def settings(self) -> Iterator[Setting]:
        """The grid; each setting is tried with each cooldown."""

    def holds(self, series: Series, setting: Setting) -> Holds:
        """Whether the condition holds at each story, from that story and earlier ones alone."""


def told_at(at_ms: NDArray[np.int64], holds: Holds, cooldown_ms: int) -> list[int]:
    """When somebody is told: where the condition holds, and nobody was told for the cooldown."""
    told: list[int] = []
    for instant in at_ms[holds].tolist():
        if not told or instant >= told[-1] + cooldown_ms:
            told.append(instant)
    return told


class FixedThreshold:
    """At least so many negative stories in a window, whose mean tone is below a level."""

    name = "fixed_threshold"
    customary: ClassVar[Setting] = {
        "window_hours": 24,
        "negative_stories": 10,
        "mean_score_below": -0.2,
    }

    def settings(self) -> Iterator[Setting]:
        """1 h to 24 h, 2 to 75 stories, any tone (1.0) to a very bad one."""
        return _grid(
            window_hours=(1, 3, 6, 24),
            negative_stories=(2, 3, 5, 8, 10, 15, 20, 30, 50, 75),
            mean_score_below=(1.0, 0.0, -0.2, -0.4, -0.6),
        )

    def holds(self, series: Series, setting: Setting) -> Holds:
        """Over `(now − window, now]`."""
        first = _first_after(series.at_ms, setting["window_hours"])
        negative, stories = _sum(series.negative, first), _count(first)
        mean = _sum(series.score, first) / stories
        above: Holds = negative >= setting["negative_stories"]
        return above & (mean < setting["mean_score_below"])


class ToneBand:
    """The mean tone of 24 hours lies k standard deviations below that of 7 days.

    As a rolling mean and deviation of the stories' scores give it.
    """

    name = "tone_24h_7d"
    customary: ClassVar[Setting] = {"sigmas": 1.0, "stories": 10}

    def settings(self) -> Iterator[Setting]:
        """A quarter of σ to 3 σ, of at least 3 to 50 stories in the 24 hours."""
        return _grid(
            sigmas=(0.25, 0.375, 0.5, 0.625, 0.75, 1.0, 1.5, 2.0, 3.0), stories=(3, 5, 10, 20, 50)
        )

    def holds(self, series: Series, setting: Setting) -> Holds:
        """From the second day of the stream."""
        day = _first_after(series.at_ms, DAY_HOURS)
        week = _first_after(series.at_ms, 7 * DAY_HOURS)
        of_day, of_week = _count(day), _count(week)
        mean = _sum(series.score, week) / of_week
        square = _sum(series.score**2, week) / of_week
        sigma = np.sqrt(np.maximum(square - mean**2, 0.0))
        low = _sum(series.score, day) / of_day < mean - setting["sigmas"] * sigma
        holds: Holds = low & (of_day >= setting["stories"]) & _has_history(series)
        return holds


class HourlyZScore:
    """The negative stories of this hour lie k standard deviations above those of 14 days' hours."""

    name = "z_score_14d"
    customary: ClassVar[Setting] = {"sigmas": 5.0, "negative_stories": 3}
    hours = 14 * DAY_HOURS

    def settings(self) -> Iterator[Setting]:
        """2 σ to 30 σ, of at least 2 to 20 negative stories in the hour."""
        return _grid(
            sigmas=(2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0),
            negative_stories=(2, 3, 5, 8, 12, 20),
        )

    def holds(self, series: Series, setting: Setting) -> Holds:
        """This clock hour so far, against the full hours before it since the stream began."""
        if not len(series.at_ms):
            return np.zeros(0, np.bool_)
        hour = series.at_ms // HOUR_MS
        begins = series.begins_ms // HOUR_MS
        place = hour - begins
        by_hour = np.bincount(place, weights=series.negative)
        total = np.concatenate(([0.0], np.cumsum(by_hour)))
        square = np.concatenate(([0.0], np.cumsum(by_hour**2)))
        start = np.maximum(place - self.hours, 0)
        heard = np.maximum(place - start, 1)
        mean = (total[place] - total[start]) / heard
        sigma = np.sqrt(np.maximum((square[place] - square[start]) / heard - mean**2, 0.0))
        now = _sum(series.negative, np.searchsorted(hour, hour, side="left"))
        far = now > mean + setting["sigmas"] * sigma
        holds: Holds = far & (now >= setting["negative_stories"]) & _has_history(series)
        return holds


SIMPLE_DETECTORS: Sequence[SimpleDetector] = (FixedThreshold(), ToneBand(), HourlyZScore())


def _grid(**axes: Sequence[float]) -> Iterator[Setting]:
    """Every combination, the last axis fastest."""
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _first_after(at_ms: NDArray[np.int64], hours: float) -> NDArray[np.int64]:
    """For each story, the first one that is less than `hours` older."""
    return np.searchsorted(at_ms, at_ms - round(hours * HOUR_MS), side="right").astype(np.int64)


def _sum(values: NDArray[np.generic], first: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each story, the sum from story `first` to it."""
    sums = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    result: NDArray[np.float64] = sums[1:] - sums[first]
    return result


def _count(first: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each story, how many there are from story `first` to it."""
    return np.arange(1, len(first) + 1) - first


def _has_history(series: Series) -> Holds:
    holds: Holds = series.at_ms - series.begins_ms >= LEAST_HISTORY_HOURS * HOUR_MS
    return holds
