"""The geometry of the report's charts: paths in boxes that stretch, places in per cent.

A chart's text must keep its size while its width follows the page, so the lines are paths in a box
of `WIDTH` × `HEIGHT` units that the browser stretches, and everything else stands at a percentage
of the width and at pixels of the height.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from undertone.replay.overlays import Overlay
from undertone.replay.result import SweepPoint
from undertone.replay.timeline import TimelineSeries

WIDTH = 2_400
HEIGHT = 1_000
_MOST_TICKS = 8
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_STEPS_SECONDS = (
    *(_MINUTE * n for n in (1, 2, 5, 10, 20, 30)),
    *(_HOUR * n for n in (1, 2, 4, 6, 12)),
    *(_DAY * n for n in (1, 2, 4, 7, 14)),
)
_STEPS_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1_200, 2_400, 6_000, 12_000)

Row = NDArray[np.float64]


@dataclass(frozen=True)
class Tick:
    """A mark of the time axis; the major ones stay on a narrow page."""

    at: float  # per cent of the width
    text: str
    major: bool


@dataclass(frozen=True)
class Axis:
    """The range of time that all charts of a report share."""

    from_ms: int
    until_ms: int

    def at(self, moment_ms: int) -> float:
        """Where a moment stands, in per cent of the width, inside 0 to 100."""
        span = max(1, self.until_ms - self.from_ms)
        return round(100 * min(1.0, max(0.0, (moment_ms - self.from_ms) / span)), 2)

    def ticks(self) -> list[Tick]:
        """At most eight round moments; every other one, from the second, is major."""
        span_seconds = (self.until_ms - self.from_ms) / 1000
        moments, form = self._moments(span_seconds)
        ticks = []
        for index, moment in enumerate(moments):
            text = f"{moment.day} {moment:%b}" if form == "day" else moment.strftime(form)
            at = self.at(round(moment.timestamp() * 1000))
            ticks.append(Tick(at, text, major=index % 2 == (len(moments) > 2)))
        return ticks

    def _moments(self, span_seconds: float) -> tuple[list[datetime], str]:
        for step in _STEPS_SECONDS:
            if span_seconds / step <= _MOST_TICKS:
                first = -(-self.from_ms // (step * 1000)) * step
                stamps = range(first, -(-self.until_ms // 1000), step)
                moments = [datetime.fromtimestamp(stamp, UTC) for stamp in stamps]
                if step >= _DAY:
                    return moments, "day"
                return moments, "%H:%M" if span_seconds <= _DAY else "%a %H:%M"
        for months in _STEPS_MONTHS:
            if span_seconds / (months * 30.44 * _DAY) <= _MOST_TICKS:
                break
        return list(self._months(months)), "%Y" if months >= 12 else "%b %Y"

    def _months(self, step: int) -> Iterable[datetime]:
        first = datetime.fromtimestamp(self.from_ms / 1000, UTC)
        last = datetime.fromtimestamp(self.until_ms / 1000, UTC)
        number = -(-(first.year * 12 + first.month - 1) // step) * step
        while number < 9_999 * 12:
            moment = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
            if moment >= last:
                return
            if moment >= first:
                yield moment
            number += step


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


@dataclass(frozen=True)
class OverlayPanel:
    """A line of other figures with its lowest and highest value."""

    name: str
    line: str
    lowest: float
    highest: float


def nice_ceiling(value: float) -> float:
    """The next of 1, 2, 4, 5, 6, 8 × a power of ten."""
    if not math.isfinite(value) or value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10):
        if value <= factor * power * (1 + 1e-9):
            return float(factor * power)
    return 10 * power


def volume_panel(series: TimelineSeries, unusual_surprise: float) -> VolumePanel:
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


def tone_panel(series: TimelineSeries) -> TonePanel:
    """Mean score a bin; gaps where nobody spoke."""
    score = series.mean_score
    middle = HEIGHT // 2
    return TonePanel(
        above=step_area(_tone(np.maximum(score, 0)), middle),
        below=step_area(_tone(np.minimum(score, 0)), middle),
        usual=step_line(_tone(series.expected_mean_score)),
    )


def overlay_panel(overlay: Overlay, axis: Axis, bins: int) -> OverlayPanel | None:
    """The last value in or before each bin; None where all values come after the range."""
    span = axis.until_ms - axis.from_ms
    ends = [axis.from_ms + span * (number + 1) // bins for number in range(bins)]
    indexes = [bisect_right(overlay.times_ms, end - 1) - 1 for end in ends]
    last_ms = overlay.times_ms[-1]
    values = np.array(
        [
            overlay.values[index] if index >= 0 and end - span // bins <= last_ms else math.nan
            for index, end in zip(indexes, ends, strict=True)
        ]
    )
    if not np.isfinite(values).any():
        return None
    lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
    height = (highest - lowest) or 1.0
    # A twentieth above and below, so that the line never lies on an edge.
    y = HEIGHT * (0.95 - 0.9 * (values - lowest) / height)
    return OverlayPanel(overlay.name, step_line(y), lowest, highest)


def _n(series: TimelineSeries) -> int:
    return len(series.points)


def _down(values: Row, top: float) -> Row:
    return np.asarray(HEIGHT * (1 - values / top))


def _tone(values: Row) -> Row:
    return np.asarray(HEIGHT * (1 - values) / 2)


def _runs(values: Row) -> Iterable[tuple[int, int, list[int]]]:
    """The runs of known values: (first bin, bin after the last, whole y values)."""
    known = np.isfinite(values)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield start, end, [round(y) for y in values[start:end].tolist()]


def _x(number: int, bins: int) -> int:
    return round(WIDTH * number / bins)


def _steps(start: int, ys: Sequence[int], bins: int) -> str:
    """From a first point at (start, ys[0]) on: across each bin, up or down between them."""
    parts = []
    for number in range(1, len(ys)):
        if ys[number] != ys[number - 1]:
            parts.append(f"H{_x(start + number, bins)}V{ys[number]}")
    parts.append(f"H{_x(start + len(ys), bins)}")
    return "".join(parts)


def step_line(values: Row) -> str:
    """A path that steps from bin to bin, broken where there is no value."""
    bins = len(values)
    return "".join(
        f"M{_x(start, bins)} {ys[0]}{_steps(start, ys, bins)}" for start, _end, ys in _runs(values)
    )


def step_area(values: Row, base: int = HEIGHT) -> str:
    """The same, filled to a base; runs that lie on the base are left out."""
    bins = len(values)
    return "".join(
        f"M{_x(start, bins)} {base}V{ys[0]}{_steps(start, ys, bins)}V{base}Z"
        for start, _end, ys in _runs(np.where(np.round(values) == base, np.nan, values))
    )


def step_band(low: Row, high: Row) -> str:
    """The area between two step lines (of y values, which grow downwards)."""
    bins, parts = len(low), []
    for (start, end, lower), (_s, _e, upper) in zip(_runs(low), _runs(high), strict=True):
        back = []
        for number in range(len(lower) - 1, -1, -1):
            back.append(f"V{lower[number]}H{_x(start + number, bins)}")
        parts.append(f"M{_x(start, bins)} {upper[0]}{_steps(start, upper, bins)}{''.join(back)}Z")
        assert end > start
    return "".join(parts)


def step_bars(marked: NDArray[np.bool_]) -> str:
    """Full-height bars over the marked bins."""
    return step_area(np.where(marked, 0.0, np.nan))


@dataclass(frozen=True)
class Dot:
    """A sweep point in the frontier chart."""

    point: SweepPoint
    x: float  # per cent
    y: float  # per cent
    label: bool


@dataclass(frozen=True)
class Frontier:
    """Recall against alerts for each subject and month; the best points joined."""

    dots: tuple[Dot, ...]
    line: str  # in a box of 1000 × 1000
    x_top: float
    false_alarms: bool  # whether x counts false alerts only


def frontier(points: Sequence[SweepPoint]) -> Frontier | None:
    """None where no point has a recall: there are no events to find."""
    judged = [point for point in points if point.events and point.events.recall is not None]
    if not judged:
        return None
    false_alarms = all(p.false_alerts_per_subject_month is not None for p in judged)
    xs = [
        (p.false_alerts_per_subject_month if false_alarms else p.alerts_per_subject_month) or 0.0
        for p in judged
    ]
    top = max(xs) or 1.0
    power = 10.0 ** math.floor(math.log10(top))
    top = power * nice_ceiling(top / power)
    dots: list[Dot] = []
    named: list[tuple[float, float]] = []
    for x, point in sorted(zip(xs, judged, strict=True), key=lambda item: not item[1].on_frontier):
        recall = (point.events.recall if point.events else None) or 0.0
        at = (round(100 * x / top, 2), round(100 * (1 - recall), 2))
        free = all(abs(at[0] - x) > 9 or abs(at[1] - y) > 9 for x, y in named)
        label = point.on_frontier and free
        if label:
            named.append(at)
        dots.append(Dot(point, *at, label))
    best = sorted((dot.x, -dot.y) for dot in dots if dot.point.on_frontier)
    line = ""
    if best:
        line = f"M{best[0][0] * 10:g} {-best[0][1] * 10:g}" + "".join(
            f"H{x * 10:g}V{-y * 10:g}" for x, y in best[1:]
        )
    return Frontier(tuple(dots), line, top, false_alarms)
