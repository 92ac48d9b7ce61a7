"""Trend points: the numbers of one window at one moment, beside what is usual for it."""

from __future__ import annotations

from undertone.records import TrendPoint, trusted
from undertone.trends.baseline import Expectation
from undertone.trends.panes import Counts

DIGITS = 3


def trend_point(
    subject: str,
    kind: str,
    window: str,
    window_end: int,
    *,
    counts: Counts,
    usual: Expectation,
    late: int,
) -> TrendPoint:
    """The point of one kind's window (`5m`, `1h`, …) that ends at `window_end`, in ms."""
    surprise_volume = surprise_negative_volume = surprise_share = surprise_score = 0.0
    if counts.stories:  # Half of all points tell that a window has emptied.
        scored = counts.scored
        surprise_volume = round(usual.surprise_of_volume(counts.stories), DIGITS)
        surprise_score = round(usual.surprise_of_mean_score(counts.mean_score, scored), DIGITS)
    if counts.negative:
        surprise_negative_volume = round(usual.surprise_of_negative_volume(counts.negative), DIGITS)
        surprise_share = round(usual.surprise_of_negative_share(counts.negative, scored), DIGITS)
    mean, share = counts.mean_score, counts.negative_share
    return trusted(
        TrendPoint,
        subject=subject,
        kind=kind,
        window=window,
        window_end=window_end,
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
        late=late,
        revision=1,
    )
