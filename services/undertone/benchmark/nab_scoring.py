"""The score of the Numenta Anomaly Benchmark, standard profile.

Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms – the Numenta Anomaly Benchmark"
(ICMLA 2015); where the paper leaves room, the semantics of the benchmark's published code.

A window holds one true anomaly. Its earliest detection counts, worth 1 at the window's left edge
and falling along a sigmoid to 0 at its right edge; a window without any costs 1. Every detection
outside windows costs 0.11, less shortly after a window (nothing right behind it), more the farther
from it. The first 15% of a series, at most 750 rows, are probation and count for nothing. The raw
score is normalised, so that a detector that finds nothing has 0 and a perfect one 100.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

FALSE_POSITIVE_WEIGHT = 0.11
FALSE_NEGATIVE_WEIGHT = 1.0
PROBATION_SHARE = 0.15
LONGEST_PROBATION_ROWS = 750
# Farther behind a window than three of its widths, a false positive costs its whole weight.
FAR_BEHIND = 3.0


class Window(NamedTuple):
    """The rows of one labelled anomaly: the first and the last."""

    first: int
    last: int

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class SeriesScore:
    """What detections in one series are worth.

    `raw` is the sum of rewards and costs; `false_detections` counts the rows that lie outside
    windows; probation is left out of all.
    """

    raw: float
    windows: int
    found: int
    false_detections: int

    @property
    def score(self) -> float:
        """The normalised score of this series alone, 0 to 100; below 0 if worse than silence."""
        return normalised([self])


def probation_rows(rows: int) -> int:
    """How many rows at the beginning of a series are not scored."""
    return min(math.floor(PROBATION_SHARE * rows), LONGEST_PROBATION_ROWS)


def scaled_sigmoid(position: float) -> float:
    """1 − 2 ÷ (1 + e^(−5 × position)) turned round: near 1 at −1, 0 at 0, −1 far behind."""
    if position > FAR_BEHIND:
        return -1.0
    return 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def weight_of(row: int, windows: Sequence[Window]) -> float:
    """What a detection at `row` is worth by itself.

    Positions are in widths of the window: −1 is the window's first row, −1 ÷ width its last one;
    behind it, the distance to its last row ÷ (width − 1).
    """
    before: Window | None = None
    for window in windows:
        if window.first <= row <= window.last:
            position = -(window.last - row + 1) / window.rows
            return scaled_sigmoid(position) / scaled_sigmoid(-1.0)
        if window.last < row:
            before = window
    if before is None:
        return -FALSE_POSITIVE_WEIGHT
    # A window of one row has no width to measure by: all behind it is far.
    widths = (row - before.last) / (before.rows - 1) if before.rows > 1 else math.inf
    return FALSE_POSITIVE_WEIGHT * scaled_sigmoid(widths)


def score_series(detections: Iterable[int], rows: int, windows: Sequence[Window]) -> SeriesScore:
    """Score the rows at which a detector spoke in a series of `rows`; windows by time, disjoint."""
    begin = probation_rows(rows)
    scored = [window for window in windows if window.last >= begin]
    best = dict.fromkeys(scored, -FALSE_NEGATIVE_WEIGHT)
    false_detections = 0
    false_cost = 0.0
    for row in sorted(set(detections)):
        if row < begin:
            continue
        worth = weight_of(row, windows)
        hit = next((window for window in scored if window.first <= row <= window.last), None)
        if hit is None:
            false_detections += 1
            false_cost += worth
        else:
            best[hit] = max(best[hit], worth)
    return SeriesScore(
        raw=sum(best.values()) + false_cost,
        windows=len(scored),
        found=sum(worth > -FALSE_NEGATIVE_WEIGHT for worth in best.values()),
        false_detections=false_detections,
    )


def normalised(scores: Sequence[SeriesScore]) -> float:
    """0 for a detector that never speaks, 100 for one that speaks once, at each window's start."""
    windows = sum(score.windows for score in scores)
    null = -FALSE_NEGATIVE_WEIGHT * windows
    perfect = float(windows)
    raw = sum(score.raw for score in scores)
    return 100.0 * (raw - null) / (perfect - null) if windows else 0.0
