"""A subject's stories and tone as the panels of a chart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from undertone.pages.paths import (
    HEIGHT,
    Row,
    nice_ceiling,
    step_area,
    step_band,
    step_bars,
    step_line,
)

UNUSUAL_SURPRISE = 3.0  # from here on a chart marks a time as unusual


class Series(Protocol):
    """One window of one subject in equal bins; NaN where nothing was known."""

    @property
    def stories_high(self) -> Row: ...
    @property
    def negative_high(self) -> Row: ...
    @property
    def expected_low(self) -> Row: ...
    @property
    def expected_high(self) -> Row: ...
    @property
    def mean_score(self) -> Row: ...
    @property
    def expected_mean_score(self) -> Row: ...
    @property
    def surprise_high(self) -> Row: ...


@dataclass(frozen=True)
class VolumePanel:
    """Stories: all, the negative ones, what was usual, and where it was unusual."""

    top: float  # the value at the upper edge
    stories: str
    negative: str
    expected: str
    unusual: str


@dataclass(frozen=True)
class TonePanel:
    """Mean score between −1 and 1: above and below zero, and what was usual."""

    above: str
    below: str
    usual: str


def volume_panel(series: Series, unusual_surprise: float = UNUSUAL_SURPRISE) -> VolumePanel:
    """Stories a window: the highest of each bin."""
    highest = np.nanmax(np.array([series.stories_high, series.expected_high, [0.0] * _n(series)]))
    top = nice_ceiling(float(highest))
    unusual = np.where(series.surprise_high >= unusual_surprise, series.negative_high, np.nan)
    return VolumePanel(
        top=top,
        stories=step_area(_down(series.stories_high, top)),
        negative=step_area(_down(series.negative_high, top)),
        expected=step_band(_down(series.expected_low, top), _down(series.expected_high, top)),
        unusual=step_bars(np.isfinite(unusual) & (unusual > 0)),
    )


def tone_panel(series: Series) -> TonePanel:
    """Mean score a bin; gaps where nobody spoke."""
    score = series.mean_score
    middle = HEIGHT // 2
    return TonePanel(
        above=step_area(_tone(np.maximum(score, 0)), middle),
        below=step_area(_tone(np.minimum(score, 0)), middle),
        usual=step_line(_tone(series.expected_mean_score)),
    )


def _n(series: Series) -> int:
    return len(series.stories_high)


def _down(values: Row, top: float) -> Row:
    return np.asarray(HEIGHT * (1 - values / top))


def _tone(values: Row) -> Row:
    return np.asarray(HEIGHT * (1 - values) / 2)
