"""Trend points: the numbers of one window at one moment, beside what is usual for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from undertone.records import TrendPoint, trusted
from undertone.trends.baseline import Expectation
from undertone.trends.panes import Counts
from undertone.trends.surprise import count_surprises, score_surprises, share_surprises

DIGITS = 3

# The fields of TrendPoint by name, each as an array or a list over the points, in their order.
Columns = dict[str, Any]


class TrendReading(NamedTuple):
    """What a trend point is made of.

    Points are the most that a watcher puts out, and their surprises the dearest of it: so they are
    computed where a point is written, by whoever writes it.
    """

    subject: str
    kind: str
    window: str  # its length: `5m`, `1h`, …
    window_end: int
    counts: tuple[int, ...]  # in the order of the fields of Counts
    usual: Expectation
    late: int

    def record(self) -> TrendPoint:
        """The trend point."""
        counts, usual = Counts(*self.counts), self.usual
        surprise_volume = surprise_negative_volume = surprise_share = surprise_score = 0.0
        scored, mean, share = counts.scored, counts.mean_score, counts.negative_share
        if counts.stories:  # Half of all points tell that a window has emptied.
            surprise_volume = round(usual.surprise_of_volume(counts.stories), DIGITS)
            surprise_score = round(usual.surprise_of_mean_score(mean, scored), DIGITS)
        if counts.negative:
            surprise_negative_volume = round(
                usual.surprise_of_negative_volume(counts.negative), DIGITS
            )
            surprise_share = round(
                usual.surprise_of_negative_share(counts.negative, scored), DIGITS
            )
        return trusted(
            TrendPoint,
            subject=self.subject,
            kind=self.kind,
            window=self.window,
            window_end=self.window_end,
            mentions=counts.mentions,
            stories=counts.stories,
            negative=counts.negative,
            neutral=counts.neutral,
            positive=counts.positive,
            unscored=counts.unscored,
            mean_score=None if mean is None else round(mean, DIGITS),
            negative_share=None if share is None else round(share, DIGITS),
            expected_volume=round(usual.stories, DIGITS),
            expected_negative_volume=round(usual.negative, DIGITS),
            expected_negative_share=round(usual.negative_share, DIGITS),
            expected_mean_score=round(usual.mean_score, DIGITS),
            surprise_volume=surprise_volume,
            surprise_negative_volume=surprise_negative_volume,
            surprise_negative_share=surprise_share,
            surprise_mean_score=surprise_score,
            late=self.late,
            revision=1,
        )


_fields_of = attrgetter(*TrendPoint.model_fields)


def columns_of_records(points: Sequence[TrendPoint]) -> Columns:
    """Points that have been read back, as columns."""
    rows = zip(*map(_fields_of, points), strict=True)
    return dict(zip(TrendPoint.model_fields, map(list, rows), strict=True))


def _table(rows: Sequence[Sequence[float]], number: type[np.generic]) -> Any:
    """Rows of numbers as an array for each of their columns; numpy alone takes twice the time."""
    numbers: Iterable[float] = chain.from_iterable(rows)
    return np.fromiter(numbers, number, len(rows) * len(rows[0])).reshape(len(rows), -1).T


def columns(readings: Sequence[TrendReading]) -> Columns:
    """Many points at once, at a fraction of the cost of their records; NaN stands for None."""
    subjects, kinds, windows, ends, all_counts, usual, late = zip(*readings, strict=True)
    mentions, stories, negative, neutral, positive, unscored, score, _ = _table(
        all_counts, np.int64
    )
    expected = dict(zip(Expectation._fields, _table(usual, np.float64), strict=True))
    scored = negative + neutral + positive
    some = np.maximum(scored, 1)
    mean = np.where(scored > 0, score / 1000 / some, np.nan)
    numbers = {
        "mean_score": mean,
        "negative_share": np.where(scored > 0, negative / some, np.nan),
        "expected_volume": expected["stories"],
        "expected_negative_volume": expected["negative"],
        "expected_negative_share": expected["negative_share"],
        "expected_mean_score": expected["mean_score"],
        "surprise_volume": count_surprises(
            stories, expected["stories"], expected["stories_shape"], expected["stories_burst_shape"]
        ),
        "surprise_negative_volume": count_surprises(
            negative,
            expected["negative"],
            expected["negative_shape"],
            expected["negative_burst_shape"],
        ),
        "surprise_negative_share": share_surprises(negative, scored, expected["negative_share"]),
        "surprise_mean_score": score_surprises(
            np.nan_to_num(mean), scored, expected["mean_score"], expected["score_variance"]
        ),
    }
    return {
        "subject": subjects,
        "kind": kinds,
        "window": windows,
        "window_end": np.array(ends),
        "mentions": mentions,
        "stories": stories,
        "negative": negative,
        "neutral": neutral,
        "positive": positive,
        "unscored": unscored,
        **{name: np.round(values, DIGITS) for name, values in numbers.items()},
        "late": np.array(late),
        "revision": np.ones(len(readings), dtype=np.int64),
    }


def joined(several: Sequence[Columns]) -> Columns:
    """The points of several, one after the other."""
    return {
        name: np.concatenate([_array(points[name]) for points in several]) for name in several[0]
    }


def taken(points: Columns, places: NDArray[np.int64]) -> Columns:
    """The points at these places, in this order."""
    return {name: _array(values)[places] for name, values in points.items()}


def _array(values: Any) -> NDArray[Any]:
    # Text stays Python's own, which is faster to look up than numpy's.
    return values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
