"""How the conditions of a rule stand: what a window holds, beside what is usual for it."""

from __future__ import annotations

from typing import NamedTuple

from undertone.alerting.rules import Signal, When
from undertone.durations import format_duration
from undertone.records import Condition, trusted
from undertone.trends.baseline import Expectation
from undertone.trends.panes import Counts
from undertone.trends.points import DIGITS


class Reading(NamedTuple):
    """One signal over one window at one moment, in full precision."""

    counts: Counts
    observed: float | None
    expected: float
    surprise: float

    def is_quiet(self, when: When, surprise_below: float) -> bool:
        """Whether a condition would let an alert end; judged by the numbers that are told."""
        if when.surprise is None:
            return not when.holds(self.observed, self.surprise)
        return round(self.surprise, DIGITS) < surprise_below

    def told(self, when: When) -> Condition:
        """The condition as an alert tells it."""
        return trusted(
            Condition,
            window=format_duration(when.window),
            signal=when.signal,
            observed=round(self.observed or 0.0, DIGITS),
            expected=round(self.expected, DIGITS),
            surprise=round(self.surprise, DIGITS),
        )


def read(signal: Signal, counts: Counts, usual: Expectation) -> Reading:
    """How a signal stands over the counts of its window."""
    observed: float | None
    if signal == "negative_volume":
        observed, expected = counts.negative, usual.negative
        surprise = usual.surprise_of_negative_volume(counts.negative)
    elif signal == "volume":
        observed, expected = counts.stories, usual.stories
        surprise = usual.surprise_of_volume(counts.stories)
    elif signal == "negative_share":
        observed, expected = counts.negative_share, usual.negative_share
        surprise = usual.surprise_of_negative_share(counts.negative, counts.scored)
    else:
        observed, expected = counts.mean_score, usual.mean_score
        surprise = usual.surprise_of_mean_score(counts.mean_score, counts.scored)
    return Reading(counts, observed, expected, surprise)
