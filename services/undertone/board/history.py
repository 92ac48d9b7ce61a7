"""Core: one window of one subject, the kinds added up, in a ring of bins.

A trend point says what holds from its time on. A bin keeps the extremes and the means of what held
while it lasted. Bins are as long as the window, and four hours at most: those of five minutes tell
of 14 hours, those of an hour of a week, those of a day of four weeks. A window takes `BINS` × 72
bytes (12 KB) however long it is followed.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from undertone.durations import parse_duration
from undertone.pages.paths import Row
from undertone.records import TrendPoint

BINS = 168
LONGEST_BIN_MS = 4 * 3_600_000
KINDS = 8  # of a subject; more than these are left out

SIGNALS = ("negative_volume", "volume", "negative_share", "mean_score")

_HELD, _SCORED, _SCORE, _EXPECTED_SCORE = range(4)  # sums over time
_STORIES, _NEGATIVE, _EXPECTED, _SURPRISE, _EXPECTED_LOW = range(4, 9)  # extremes
_COLUMNS = 9
_EMPTY = (0.0, 0.0, 0.0, 0.0, -1.0, -1.0, -1.0, -1.0, math.inf)


@dataclass(frozen=True)
class Bins:
    """`BINS` bins from `from_ms`; NaN where nothing was known, for tone where nothing was scored.

    Highest and lowest are those of any window that ended within the bin.
    """

    from_ms: int
    until_ms: int
    stories_high: Row
    negative_high: Row
    expected_low: Row
    expected_high: Row
    mean_score: Row
    expected_mean_score: Row
    surprise_high: Row  # of the negative volume

    def known(self, fewest: int = 24) -> Bins:
        """Without the bins before anything was known, but for the last `fewest`."""
        first = int(np.flatnonzero(np.isfinite(self.stories_high))[0])
        first = max(0, min(first, BINS - fewest))
        rows = {
            row.name: getattr(self, row.name)[first:]
            for row in fields(self)
            if row.name not in ("from_ms", "until_ms")
        }
        bin_ms = (self.until_ms - self.from_ms) // BINS
        return Bins(from_ms=self.from_ms + first * bin_ms, until_ms=self.until_ms, **rows)


class Standing(NamedTuple):
    """What holds now, the kinds added up; the strongest surprise is that of one kind."""

    at_ms: int
    mentions: int
    stories: int
    negative: int
    scored: int
    unscored: int
    mean_score: float | None
    expected_volume: float
    expected_mean_score: float
    surprise: float
    signal: str
    negative_surprise: float  # of the negative volume

    @property
    def negative_share(self) -> float | None:
        """Of the stories that were scored; none where none was."""
        return self.negative / self.scored if self.scored else None


def bin_of(window: str) -> int:
    """How long the bins of a window are, in ms. Raises ValueError where it is no length of time."""
    window_ms = parse_duration(window)
    if not window_ms:
        raise ValueError(f"{window!r} is no length of time")
    return min(window_ms, LONGEST_BIN_MS)


class WindowHistory:
    """Takes a window's trend points in order of time."""

    def __init__(self, window: str) -> None:
        """Raises ValueError where `window` is no length of time."""
        self.window = window
        self.bin_ms = bin_of(window)
        self.standing: Standing | None = None
        self._points: dict[str, TrendPoint] = {}
        self._ring = array("d")
        self._row = list(_EMPTY)  # of the current bin
        self._bin = 0
        self._first_bin = 0
        self._at_ms = 0

    @property
    def kinds(self) -> dict[str, TrendPoint]:
        """The newest point of each kind."""
        return dict(sorted(self._points.items()))

    def take(self, point: TrendPoint) -> bool:
        """What holds from now on; false for a repeated point, and for one kind too many."""
        known = self._points.get(point.kind)
        if known is not None:
            if (point.window_end, point.revision) <= (known.window_end, known.revision):
                return False
        elif len(self._points) >= KINDS:
            return False
        if self.standing is None:
            self._at_ms = point.window_end
            self._bin = self._first_bin = point.window_end // self.bin_ms
            self._ring = array("d", _EMPTY * BINS)
        self._advance(point.window_end)
        self._points[point.kind] = point
        self.standing = _standing(self._points)  # goes into the bin with the time that it holds
        return True

    def bins(self, until_ms: int) -> Bins | None:
        """The bins up to the one that a moment falls in; None where nothing was seen yet."""
        if self.standing is None:
            return None
        last = max(self._bin, until_ms // self.bin_ms)
        first = last - BINS + 1
        rows = np.tile(np.array(_EMPTY), (BINS, 1))
        for number in range(max(first, self._first_bin, self._bin - BINS + 1), self._bin):
            at = number % BINS * _COLUMNS
            rows[number - first] = self._ring[at : at + _COLUMNS]
        end_ms = max(until_ms, self._at_ms)
        for number in range(max(first, self._bin), last + 1):
            row = list(self._row if number == self._bin else _EMPTY)
            start = max(self._at_ms, number * self.bin_ms)
            _hold(row, self.standing, min(end_ms, (number + 1) * self.bin_ms) - start)
            rows[number - first] = row
        return _bins(rows, first * self.bin_ms, (last + 1) * self.bin_ms)

    def _advance(self, until_ms: int) -> None:
        """Hold what stands until a later moment, bin by bin."""
        number = until_ms // self.bin_ms
        if self.standing is not None and number - self._bin > BINS:
            self._flush()  # what lies further back than the ring is forgotten
            self._bin = number - BINS
            self._at_ms = self._bin * self.bin_ms
            self._row = list(_EMPTY)
        while self._at_ms < until_ms:
            stop = min(until_ms, (self._bin + 1) * self.bin_ms)
            if self.standing is not None:
                _hold(self._row, self.standing, stop - self._at_ms)
            self._at_ms = stop
            if stop == (self._bin + 1) * self.bin_ms:
                self._flush()
                self._bin += 1
                self._row = list(_EMPTY)

    def _flush(self) -> None:
        at = self._bin % BINS * _COLUMNS
        self._ring[at : at + _COLUMNS] = array("d", self._row)


def _standing(points: dict[str, TrendPoint]) -> Standing:
    stories = negative = scored = unscored = mentions = 0
    score = expected = expected_score = 0.0
    surprise, signal = 0.0, SIGNALS[0]
    for point in points.values():
        of_kind = point.negative + point.neutral + point.positive
        mentions += point.mentions
        stories += point.stories
        negative += point.negative
        scored += of_kind
        unscored += point.unscored
        score += (point.mean_score or 0.0) * of_kind
        expected += point.expected_volume
        expected_score += point.expected_mean_score * point.expected_volume
        for name in SIGNALS:
            value: float = getattr(point, f"surprise_{name}")
            if value > surprise:
                surprise, signal = value, name
    return Standing(
        at_ms=max(point.window_end for point in points.values()),
        mentions=mentions,
        stories=stories,
        negative=negative,
        scored=scored,
        unscored=unscored,
        mean_score=score / scored if scored else None,
        expected_volume=expected,
        expected_mean_score=expected_score / expected if expected > 0 else 0.0,
        surprise=surprise,
        signal=signal,
        negative_surprise=max(point.surprise_negative_volume for point in points.values()),
    )


def _hold(row: list[float], held: Standing, span_ms: int) -> None:
    """What held for a time goes into a bin."""
    row[_HELD] += span_ms
    row[_SCORED] += held.scored * span_ms
    row[_SCORE] += (held.mean_score or 0.0) * held.scored * span_ms
    row[_EXPECTED_SCORE] += held.expected_mean_score * span_ms
    row[_STORIES] = max(row[_STORIES], held.stories)
    row[_NEGATIVE] = max(row[_NEGATIVE], held.negative)
    row[_EXPECTED] = max(row[_EXPECTED], held.expected_volume)
    row[_SURPRISE] = max(row[_SURPRISE], held.negative_surprise)
    row[_EXPECTED_LOW] = min(row[_EXPECTED_LOW], held.expected_volume)


def _bins(rows: Row, from_ms: int, until_ms: int) -> Bins:
    held, scored = rows[:, _HELD], rows[:, _SCORED]
    seen = rows[:, _STORIES] >= 0

    def extreme(column: int) -> Row:
        return np.where(seen, rows[:, column], np.nan)

    with np.errstate(divide="ignore", invalid="ignore"):
        return Bins(
            from_ms=from_ms,
            until_ms=until_ms,
            stories_high=extreme(_STORIES),
            negative_high=extreme(_NEGATIVE),
            expected_low=extreme(_EXPECTED_LOW),
            expected_high=extreme(_EXPECTED),
            mean_score=np.where(scored > 0, rows[:, _SCORE] / scored, np.nan),
            expected_mean_score=np.where(held > 0, rows[:, _EXPECTED_SCORE] / held, np.nan),
            surprise_high=extreme(_SURPRISE),
        )
