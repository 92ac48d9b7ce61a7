"""The charts that only the report has: other figures laid over, and the frontier of a sweep."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from undertone.pages.axis import Axis
from undertone.pages.paths import HEIGHT, nice_ceiling, step_line
from undertone.replay.overlays import Overlay
from undertone.replay.result import SweepPoint


@dataclass(frozen=True)
class OverlayPanel:
    """A line of other figures with its lowest and highest value."""

    name: str
    line: str
    lowest: float
    highest: float


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
