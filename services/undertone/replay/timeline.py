"""A range of trend points in a few hundred bins a subject and window, however long the range.

A trend point holds until the next one of its subject, kind and window, so a window is a step
function of time; its kinds are added up. A bin keeps the highest value, and the integral over
time, from which means follow exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertone.durations import parse_duration
from undertone.trends.points import Columns

BINS = 240
_FIRST_BIN_MS = 10_000

# Columns of a bin: first the sums, of which all but the points are value × milliseconds held.
_POINTS, _HELD, _STORIES, _SCORED, _SCORE, _EXPECTED_SCORE = range(6)
_SUMS = 6
# Then the extremes.
_STORIES_HIGH, _NEGATIVE_HIGH, _EXPECTED_HIGH, _SURPRISE_HIGH, _EXPECTED_LOW = range(6, 11)
_COLUMNS = 11
_EMPTY = [0.0] * _SUMS + [-1.0, -1.0, -1.0, -1.0, float("inf")]

# stories, negative, scored, sum of scores, expected volume, expected score × volume, surprise
_Values = tuple[float, float, float, float, float, float, float]
Row = NDArray[np.float64]


@dataclass(frozen=True)
class TimelineSeries:
    """One window of one subject, in `len(points)` equal bins from `from_ms`; kinds added up.

    NaN where the subject had not been heard of yet, and for tone where no story was scored.
    """

    subject: str
    window: str
    from_ms: int
    bin_ms: int
    points: Row  # trend points written
    held_ms: Row  # for how much of the bin there was a value
    stories_high: Row
    stories_mean: Row
    negative_high: Row
    expected_low: Row
    expected_high: Row
    mean_score: Row  # mean over time, by scored stories
    expected_mean_score: Row
    surprise_high: Row  # of the negative volume


class _Track:
    """The running state of one subject's window."""

    __slots__ = ("at_ms", "bin", "bin_end_ms", "held", "kinds", "row", "rows")

    def __init__(self, at_ms: int, number: int, bin_end_ms: int) -> None:
        self.rows = np.tile(np.array(_EMPTY), (BINS, 1))
        self.row = list(_EMPTY)  # of the current bin, a list because single steps are faster so
        self.bin = number
        self.bin_end_ms = bin_end_ms
        self.at_ms = at_ms
        self.kinds: dict[str, _Values] = {}
        self.held: _Values | None = None

    def copy(self) -> _Track:
        twin = _Track(self.at_ms, self.bin, self.bin_end_ms)
        twin.rows[:] = self.rows
        twin.row = list(self.row)
        twin.held = self.held
        return twin

    def flush(self) -> None:
        """Write the current bin to the rows."""
        if self.bin < BINS:
            self.rows[self.bin] = self.row

    def advance(self, until_ms: int, bin_ms: int) -> None:
        """Hold the present value until a later moment."""
        while self.at_ms < until_ms:
            stop = min(until_ms, self.bin_end_ms)
            if self.held is not None:
                _hold(self.row, self.held, stop - self.at_ms)
            self.at_ms = stop
            if stop == self.bin_end_ms:
                self.flush()
                self.bin += 1
                self.bin_end_ms += bin_ms
                self.row = list(_EMPTY)

    def take(self, kind: str, values: _Values) -> None:
        """The value of a kind from now on."""
        kinds = self.kinds
        kinds[kind] = values
        if len(kinds) == 1:
            stories, negative, scored, score, expected, expected_score, surprise = values
        else:
            columns = list(zip(*kinds.values(), strict=True))
            stories, negative, scored, score, expected, expected_score = map(sum, columns[:6])
            surprise = max(columns[6])
        usual = expected_score / expected if expected > 0 else 0.0
        self.held = (stories, negative, scored, score, expected, usual, surprise)


def _rows(points: Columns) -> Iterable[tuple[str, str, str, int, _Values]]:
    """Subject, kind, window, time and values of each point."""
    counts = [np.asarray(points[name]) for name in ("negative", "neutral", "positive")]
    scored = np.sum(counts, axis=0)
    mean = np.array(points["mean_score"], dtype=np.float64)
    expected = np.asarray(points["expected_volume"])
    values = zip(
        np.asarray(points["stories"]).tolist(),
        counts[0].tolist(),
        scored.tolist(),
        np.where(scored > 0, mean * scored, 0.0).tolist(),
        expected.tolist(),
        (np.asarray(points["expected_mean_score"]) * expected).tolist(),
        np.asarray(points["surprise_negative_volume"]).tolist(),
        strict=True,
    )
    return zip(
        points["subject"],
        points["kind"],
        points["window"],
        np.asarray(points["window_end"]).tolist(),
        values,
        strict=True,
    )


def _hold(row: list[float], held: _Values, span_ms: int) -> None:
    stories, negative, scored, score, expected, expected_score, surprise = held
    row[_HELD] += span_ms
    row[_STORIES] += stories * span_ms
    row[_SCORED] += scored * span_ms
    row[_SCORE] += score * span_ms
    row[_EXPECTED_SCORE] += expected_score * span_ms
    # ruff: noqa: PLR1730 (comparisons, because calls of max() would take half of the time)
    if stories > row[_STORIES_HIGH]:
        row[_STORIES_HIGH] = stories
    if negative > row[_NEGATIVE_HIGH]:
        row[_NEGATIVE_HIGH] = negative
    if expected > row[_EXPECTED_HIGH]:
        row[_EXPECTED_HIGH] = expected
    if expected < row[_EXPECTED_LOW]:
        row[_EXPECTED_LOW] = expected
    if surprise > row[_SURPRISE_HIGH]:
        row[_SURPRISE_HIGH] = surprise


class Timeline:
    """Takes trend points, each subject's in order of time, and keeps `BINS` bins of each window.

    Points of a warm-up (before `from_ms`) set what holds at the start; points after `until_ms`
    and of subjects that are not listed are left out. Without `until_ms` the bins widen as needed,
    and all windows are kept; with it, only the best to draw.
    """

    def __init__(self, subjects: Iterable[str], from_ms: int, until_ms: int | None = None) -> None:
        self.subjects = tuple(subjects)
        self.from_ms = from_ms
        self.until_ms = until_ms
        self.bin_ms = _FIRST_BIN_MS
        if until_ms is not None:
            self.bin_ms = max(1, -(-(until_ms - from_ms) // BINS))
        self._known = frozenset(self.subjects)
        self._latest_ms = from_ms
        self._tracks: dict[tuple[str, str], _Track] = {}
        self._skipped: set[str] = set()  # windows that will not be drawn

    def add(self, points: Columns) -> None:
        """Take the next points."""
        for subject, kind, window, at_ms, values in _rows(points):
            if window not in self._skipped and subject in self._known:
                self._add(subject, kind, window, at_ms, values)

    def _add(self, subject: str, kind: str, window: str, at_ms: int, values: _Values) -> None:
        if self.until_ms is not None and at_ms > self.until_ms:
            return
        if at_ms > self._latest_ms:
            self._latest_ms = at_ms
            while self.until_ms is None and at_ms >= self.from_ms + BINS * self.bin_ms:
                self._widen()
        key = (subject, window)
        track = self._tracks.get(key)
        if track is None:
            if window not in self.windows() and not self._will_be_drawn(window):
                return
            number = max(0, min(BINS - 1, (at_ms - self.from_ms) // self.bin_ms))
            start = max(at_ms, self.from_ms)
            bin_end = self.from_ms + (number + 1) * self.bin_ms
            track = self._tracks[key] = _Track(start, number, bin_end)
        track.advance(at_ms, self.bin_ms)
        track.take(kind, values)
        if at_ms >= self.from_ms:
            track.row[_POINTS] += 1

    def windows(self) -> tuple[str, ...]:
        """The windows that are kept, the shortest first."""
        return tuple(sorted({window for _subject, window in self._tracks}, key=parse_duration))

    def end_ms(self) -> int:
        """Where the last bin ends."""
        if self.until_ms is not None:
            return self.until_ms
        return self.from_ms + BINS * self.bin_ms

    def best_window(self) -> str | None:
        """The window to draw: the longest that is at most a 20th of the range, else the shortest.

        A longer one blurs when things happened; a shorter one is all spikes, which bins hide.
        """
        return self._best(self.windows())

    def _best(self, windows: Iterable[str]) -> str | None:
        ordered = sorted(windows, key=parse_duration)
        span_ms = self.end_ms() - self.from_ms
        fitting = [window for window in ordered if parse_duration(window) * 20 <= span_ms]
        return fitting[-1] if fitting else (ordered[0] if ordered else None)

    def _will_be_drawn(self, window: str) -> bool:
        """Of a range whose end is known only the best window is kept: the others are dropped."""
        if self.until_ms is None:
            return True
        best = self._best({*self.windows(), window})
        self._skipped |= {*self.windows(), window} - {best}
        self._tracks = {key: track for key, track in self._tracks.items() if key[1] == best}
        return best == window

    def series(self, subject: str, window: str) -> TimelineSeries | None:
        """What was seen so far; None where nothing was."""
        known = self._tracks.get((subject, window))
        if known is None:
            return None
        track = known.copy()
        track.advance(self._latest_ms, self.bin_ms)
        track.flush()
        rows = track.rows
        held, scored = rows[:, _HELD], rows[:, _SCORED]
        with np.errstate(divide="ignore", invalid="ignore"):
            extremes = [
                np.where(held > 0, rows[:, column], np.nan)
                for column in (
                    _STORIES_HIGH,
                    _NEGATIVE_HIGH,
                    _EXPECTED_LOW,
                    _EXPECTED_HIGH,
                    _SURPRISE_HIGH,
                )
            ]
            return TimelineSeries(
                subject=subject,
                window=window,
                from_ms=self.from_ms,
                bin_ms=self.bin_ms,
                points=rows[:, _POINTS],
                held_ms=held,
                stories_high=extremes[0],
                stories_mean=np.where(held > 0, rows[:, _STORIES] / held, np.nan),
                negative_high=extremes[1],
                expected_low=extremes[2],
                expected_high=extremes[3],
                mean_score=np.where(scored > 0, rows[:, _SCORE] / scored, np.nan),
                expected_mean_score=np.where(held > 0, rows[:, _EXPECTED_SCORE] / held, np.nan),
                surprise_high=extremes[4],
            )

    def _widen(self) -> None:
        """Join bins in pairs: the same bins reach twice as far."""
        for track in self._tracks.values():
            track.flush()
            pairs = track.rows.reshape(BINS // 2, 2, _COLUMNS)
            joined = np.tile(np.array(_EMPTY), (BINS, 1))
            half = joined[: BINS // 2]
            half[:, :_SUMS] = pairs[:, :, :_SUMS].sum(axis=1)
            half[:, _SUMS:_EXPECTED_LOW] = pairs[:, :, _SUMS:_EXPECTED_LOW].max(axis=1)
            half[:, _EXPECTED_LOW] = pairs[:, :, _EXPECTED_LOW].min(axis=1)
            track.rows = joined
            track.bin //= 2
            track.bin_end_ms = self.from_ms + (track.bin + 1) * self.bin_ms * 2
            track.row = joined[track.bin].tolist()
        self.bin_ms *= 2
