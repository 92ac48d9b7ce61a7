"""Trend points: the numbers of one window at one moment, beside what is usual for it."""

from __future__ import annotations

from typing import NamedTuple

from undertone.records import TrendPoint, trusted
from undertone.trends.baseline import Expectation
from undertone.trends.panes import Counts

DIGITS = 3


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
