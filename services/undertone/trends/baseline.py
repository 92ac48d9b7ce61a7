"""What is usual for one subject and kind, learnt online.

A rate of stories (and one of negative stories) is Gamma–Poisson with exponential forgetting, its
prior the watchlist's, times the rhythm of the week. A window's count has the negative binomial
predictive of that (Gelman et al., Bayesian Data Analysis, 3rd ed., section 2.6), widened by an
excess variance `theta × (clump × mean + lean × mean²)`: stories come in clumps, whose size grows
with the window, and rates wander. `theta` is learnt by the moments of hours and of days, shrunk to
one, and lies between the two for a window between them.

A crisis must not become the usual in a day, nor a new level stay a crisis for weeks. So each
day's count is taken in up to a bound, some standard deviations above its own predictive
(winsorising; Huber and Ronchetti, Robust Statistics, 2nd ed., section 1.7): what lasts is accepted
within about two weeks. Nothing here knows of rules or alerts.

What is learnt shows at whole hours. Between two calls it does not matter how often `advance` was
called: the sums are the same to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from undertone.trends.panes import Counts
from undertone.trends.rhythm import DAY_MS, HOUR_MS, Rhythm, is_monday, is_weekend
from undertone.trends.surprise import (
    BURST_EXCESS,
    SHARE_STORIES,
    count_surprise,
    score_surprise,
    share_surprise,
)
from undertone.watchlist.subjects import Prior

RATE_HALF_LIFE_DAYS = 14.0
SPREAD_HALF_LIFE_DAYS = 30.0
TONE_HALF_LIFE_DAYS = 56.0
# The prior rate of stories weighs as much as this many days of listening; the rate of negative
# stories is drawn to the prior's share of the stories heard.
PRIOR_DAYS = 1.0
PRIOR_NEGATIVE_DAYS = 3.0
# The prior share and score weigh as much as this many stories.
PRIOR_STORIES = 20.0
PRIOR_SCORE_VARIANCE = 0.25
# The excess variance of a window's count: `CLUMP_A_DAY` × mean for a window of a day, a power of
# the length for others, and `LEAN` × mean².
CLUMP_A_DAY = 1.0
CLUMP_POWER = 0.6
LEAN = 0.25
# How much the learnt spread is drawn to one, and its bounds.
SPREAD_PRIOR = 20.0
SPREAD_LEAST, SPREAD_MOST = 0.1, 10.0
# A count is taken in up to so many standard deviations above its mean; a young baseline, of a few
# days, believes more.
BOUND_DEVIATIONS = 4.0
BOUND_YOUNG_DAYS = 7.0
# The spread learns from counts up to so many.
SPREAD_DEVIATIONS = 8.0
# A rate is known well enough to tell of the spread around it.
SPREAD_FIRST_DAYS = 2.0
# While learning, a rate is drawn to this many stories in this many days.
_FAINT_STORIES, _FAINT_DAYS = 0.5, 0.25

_RATE_DECAY = 2.0 ** (-1 / RATE_HALF_LIFE_DAYS)
_SPREAD_DECAY = 2.0 ** (-1 / SPREAD_HALF_LIFE_DAYS)
_TONE_DECAY = 2.0 ** (-1 / TONE_HALF_LIFE_DAYS)
_HOUR_CLUMP = CLUMP_A_DAY * 24**-CLUMP_POWER
_LOG_DAY = math.log(24)


class Level:
    """How many a day, and how widely hours and days spread around it.

    `count` is a sum with forgetting; the others are sums of squared deviations beyond Poisson's,
    and of what they should be, over hours and over days.
    """

    __slots__ = (
        "count",
        "day_due",
        "day_excess",
        "day_spread",
        "hour_due",
        "hour_excess",
        "hour_spread",
    )

    def __init__(
        self,
        count: float = 0.0,
        hour_excess: float = 0.0,
        hour_due: float = 0.0,
        day_excess: float = 0.0,
        day_due: float = 0.0,
    ) -> None:
        self.count = count
        self.hour_excess, self.hour_due = hour_excess, hour_due
        self.day_excess, self.day_due = day_excess, day_due
        self._settle()

    def _settle(self) -> None:
        self.hour_spread = _spread(self.hour_excess, self.hour_due)
        self.day_spread = _spread(self.day_excess, self.day_due)

    def to_list(self) -> list[float]:
        """The sums, for storage."""
        return [self.count, self.hour_excess, self.hour_due, self.day_excess, self.day_due]

    def learning_rate(self, days: float) -> float:
        """Counts a day, from what was heard alone."""
        return (self.count + _FAINT_STORIES) / (days + _FAINT_DAYS)

    def bound(self, days: float, length: float) -> float:
        """The greatest count of a day of this rhythmic length that is taken in whole."""
        mean = self.learning_rate(days) * length
        variance = mean + self.day_spread * (CLUMP_A_DAY * mean + LEAN * mean * mean)
        variance += mean * mean / (self.count + _FAINT_STORIES)
        trust = 1 + BOUND_YOUNG_DAYS / (days + 0.5)
        return mean + BOUND_DEVIATIONS * trust * math.sqrt(variance)

    def learn_spread(
        self,
        days: float,
        hours: Sequence[tuple[int, int]],
        multipliers: Sequence[float],
        length: float,
        squares: float,
    ) -> None:
        """Take in how a whole day's counts spread, given its hours that are not empty."""
        rate = self.learning_rate(days)
        mean = rate * length
        due = CLUMP_A_DAY * mean + LEAN * mean * mean
        most = mean + SPREAD_DEVIATIONS * math.sqrt(mean + due)
        kept = min(sum([count for _hour, count in hours]), most)
        weight = _weight(mean, due)
        self.day_excess = self.day_excess * _SPREAD_DECAY + weight * ((kept - mean) ** 2 - mean)
        self.day_due = self.day_due * _SPREAD_DECAY + weight * due
        # Hours in one go: those that are empty need no more than the sums of the rhythm.
        square_sum = rate * rate * squares
        excess = square_sum - mean
        for hour, count in hours:
            usual = rate * multipliers[hour] / 24
            variance = usual + _HOUR_CLUMP * usual + LEAN * usual * usual
            kept = min(count, usual + max(SPREAD_DEVIATIONS * math.sqrt(variance), 2.0))
            excess += kept * kept - 2 * kept * usual
        typical = square_sum / mean
        weight = _weight(typical, _HOUR_CLUMP * typical + LEAN * typical * typical)
        self.hour_excess = self.hour_excess * _SPREAD_DECAY + weight * excess
        self.hour_due = self.hour_due * _SPREAD_DECAY + weight * (
            _HOUR_CLUMP * mean + LEAN * square_sum
        )
        self._settle()

    def shapes(
        self, mean: float, known: float, clump: float, between: float
    ) -> tuple[float, float]:
        """Excess variance ÷ mean² of a window's count, usually and in a burst.

        `known` counts lie behind its mean.
        """
        spread = self.hour_spread
        if between:
            spread += (self.day_spread - spread) * between
        excess = spread * (clump / mean + LEAN)
        unsure = 1 / known
        return excess + unsure, BURST_EXCESS * excess + unsure


def _weight(mean: float, due: float) -> float:
    # A moment counts by the inverse of its own variance under the prior, about v × (1 + v). (Under
    # what is learnt, a spread that was once driven up would be believed for weeks.)
    variance = mean + due
    return due / (variance * (1 + variance))


def _spread(excess: float, due: float) -> float:
    spread = (SPREAD_PRIOR + excess) / (SPREAD_PRIOR + due)
    return min(max(spread, SPREAD_LEAST), SPREAD_MOST)


@lru_cache(maxsize=256)
def _window_spread(window_ms: int) -> tuple[float, float]:
    """The clump of a window, and its place between an hour (0) and a day (1)."""
    hours = window_ms / HOUR_MS
    between = min(max(math.log(hours) / _LOG_DAY, 0.0), 1.0)
    return CLUMP_A_DAY * (hours / 24) ** CLUMP_POWER, between


class Baseline:
    """What is usual for one subject and kind, as of `at_ms`.

    The sums are of whole days, and of the whole hours of the day at hand. Panes are learnt with
    `advance` to their end and then `learn`.
    """

    __slots__ = (
        "_day_ms",
        "_day_sums",
        "_hour_end_ms",
        "_hour_sums",
        "_hours",
        "_opened_ms",
        "_visible",
        "at_ms",
        "days",
        "heard",
        "mentions",
        "negative",
        "rhythm",
        "score",
        "score_square",
        "scored",
        "scored_negative",
        "stories",
    )

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms
        # Rhythmic days listened; mentions and stories heard, without a bound.
        self.days = self.mentions = self.heard = 0.0
        # Of stories that were read, each day's by its effective number.
        self.scored = self.scored_negative = self.score = self.score_square = 0.0
        self.stories, self.negative = Level(), Level()
        self.rhythm = Rhythm()
        # The day at hand: its start, when listening to it began, its hours that are over and not
        # empty as [hour, stories, negative], and the sums of those.
        self._day_ms = at_ms // DAY_MS * DAY_MS
        self._opened_ms = at_ms
        self._hours: list[list[int]] = []
        self._day_sums = [0] * 6
        self._hour_sums = [0] * 6
        self._hour_end_ms = max(-(-at_ms // HOUR_MS), 1) * HOUR_MS
        self._visible: Visible | None = None

    def advance(self, to_ms: int) -> None:
        """Let time pass: forget, and count the time listened."""
        if to_ms <= self.at_ms:
            return
        if to_ms > self._hour_end_ms:
            self._end_hours(to_ms)
        self.at_ms = to_ms

    def learn(self, counts: Counts) -> None:
        """Take in the counts of a closed pane that ends at `at_ms`."""
        sums = self._hour_sums
        sums[0] += counts.mentions
        sums[1] += counts.stories
        sums[2] += counts.negative
        sums[3] += counts.negative + counts.neutral + counts.positive
        sums[4] += counts.score_millis
        sums[5] += counts.score_square_millis

    def _end_hours(self, to_ms: int) -> None:
        """End the hours, and the days, that are over before `to_ms`."""
        self._visible = None
        sums = self._hour_sums
        if sums[0]:
            hour = (self._hour_end_ms - 1 - self._day_ms) // HOUR_MS
            if sums[1]:
                self._hours.append([hour, sums[1], sums[2]])
            self._day_sums = [a + b for a, b in zip(self._day_sums, sums, strict=True)]
            self._hour_sums = [0] * 6
        last_day_ms = (to_ms - 1) // DAY_MS * DAY_MS
        while self._day_ms < last_day_ms:
            self._end_day()
        self._hour_end_ms = -(-to_ms // HOUR_MS) * HOUR_MS

    def _end_day(self) -> None:
        day = self._day_ms // DAY_MS
        rhythm, hours = self.rhythm, self._hours
        weekend = is_weekend(day)
        whole = self._opened_ms == self._day_ms
        length = rhythm.totals[weekend]
        kept, kept_negative = self._kept(length)
        # A day heard in part tells nothing of its spread, nor one around a rate hardly known.
        if whole and self.days >= SPREAD_FIRST_DAYS:
            for index, level in ((1, self.stories), (2, self.negative)):
                level.learn_spread(
                    self.days,
                    [(each[0], each[index]) for each in hours if each[index]],
                    rhythm.hourly[weekend],
                    length,
                    rhythm.squares[weekend],
                )
        if not whole:
            length = rhythm.integral(self._opened_ms, self._day_ms + DAY_MS)
        self.stories.count = self.stories.count * _RATE_DECAY + kept
        self.negative.count = self.negative.count * _RATE_DECAY + kept_negative
        self.days = self.days * _RATE_DECAY + length
        self._learn_tone()
        if whole:
            share = kept / self._day_sums[1] if hours else 0.0
            rhythm.learn_day(
                day,
                ((hour, count * share) for hour, count, _negative in hours),
                self.stories.learning_rate(self.days),
            )
        self._day_ms += DAY_MS
        self._opened_ms = self._day_ms
        if self._day_sums[0]:
            self._hours, self._day_sums = [], [0] * 6
        if is_monday(day + 1):
            rhythm.forget_week()

    def _kept(self, length: float) -> tuple[float, float]:
        """The stories and negative stories of the day at hand, up to the bounds of a whole day."""
        _mentions, stories, negative, *_ = self._day_sums
        return (
            stories and min(stories, self.stories.bound(self.days, length)),
            negative and min(negative, self.negative.bound(self.days, length)),
        )

    def _learn_tone(self) -> None:
        mentions, stories, negative, scored, score, square = self._day_sums
        # Stories of one day hang together: many tell as much as a few.
        weight = (SHARE_STORIES + 1) / (SHARE_STORIES + scored)
        self.mentions = (self.mentions + mentions) * _RATE_DECAY
        self.heard = (self.heard + stories) * _RATE_DECAY
        self.scored = (self.scored + scored * weight) * _TONE_DECAY
        self.scored_negative = (self.scored_negative + negative * weight) * _TONE_DECAY
        self.score = (self.score + score / 1000 * weight) * _TONE_DECAY
        self.score_square = (self.score_square + square / 1000 * weight) * _TONE_DECAY

    def visible(self) -> Visible:
        """What was learnt by the last whole hour: sums with forgetting."""
        if self._visible is not None:
            return self._visible
        days = self.days
        hour_ms = self._hour_end_ms - HOUR_MS
        if hour_ms > self._opened_ms:
            days += self.rhythm.integral(self._opened_ms, hour_ms)
        if not self._day_sums[0]:
            a_story = (self.mentions + PRIOR_STORIES) / (self.heard + PRIOR_STORIES)
            tone = self.scored, self.scored_negative, self.score, self.score_square
            self._visible = Visible(days, self.stories.count, self.negative.count, a_story, *tone)
            return self._visible
        kept, kept_negative = self._kept(self.rhythm.totals[is_weekend(self._day_ms // DAY_MS)])
        mentions, stories, negative, scored, score, square = self._day_sums
        weight = (SHARE_STORIES + 1) / (SHARE_STORIES + scored)
        self._visible = Visible(
            days,
            self.stories.count + kept,
            self.negative.count + kept_negative,
            (self.mentions + mentions + PRIOR_STORIES) / (self.heard + stories + PRIOR_STORIES),
            self.scored + scored * weight,
            self.scored_negative + negative * weight,
            self.score + score / 1000 * weight,
            self.score_square + square / 1000 * weight,
        )
        return self._visible

    def to_list(self) -> list[Any]:
        """Everything, for storage as JSON."""
        return [
            self.at_ms,
            self._hour_end_ms,
            self._opened_ms,
            self._day_ms,
            [self.days, self.mentions, self.heard],
            [self.scored, self.scored_negative, self.score, self.score_square],
            self.stories.to_list(),
            self.negative.to_list(),
            self.rhythm.slots,
            self.rhythm.due,
            self._hours,
            self._day_sums,
            self._hour_sums,
        ]

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> Baseline:
        """The reverse of `to_list`."""
        known = cls(values[0])
        known._hour_end_ms, known._opened_ms, known._day_ms = values[1:4]
        known.days, known.mentions, known.heard = values[4]
        known.scored, known.scored_negative, known.score, known.score_square = values[5]
        known.stories, known.negative = Level(*values[6]), Level(*values[7])
        known.rhythm = Rhythm(values[8], values[9])
        known._hours = [list(each) for each in values[10]]
        known._day_sums, known._hour_sums = list(values[11]), list(values[12])
        return known


class Visible(NamedTuple):
    """Rhythmic days listened, and the stories heard in them up to their bounds; mentions a story;
    and sums over stories that were read, each day's by its effective number."""

    days: float
    stories: float
    negative: float
    mentions_a_story: float
    scored: float
    scored_negative: float
    score: float
    score_square: float


class Expectation(NamedTuple):
    """What one window of one or several kinds should hold.

    A shape is that of a negative binomial: mean² ÷ its variance beyond Poisson's.
    """

    mentions: float
    stories: float
    stories_shape: float
    stories_burst_shape: float
    negative: float
    negative_shape: float
    negative_burst_shape: float
    negative_share: float
    mean_score: float
    score_variance: float

    def surprise_of_volume(self, observed: int) -> float:
        """Surprise of at least `observed` stories."""
        return count_surprise(observed, self.stories, self.stories_shape, self.stories_burst_shape)

    def surprise_of_negative_volume(self, observed: int) -> float:
        """Surprise of at least `observed` negative stories."""
        return count_surprise(
            observed, self.negative, self.negative_shape, self.negative_burst_shape
        )

    def surprise_of_negative_share(self, negative: int, scored: int) -> float:
        """Surprise of at least `negative` negative stories among `scored`."""
        return share_surprise(negative, scored, self.negative_share)

    def surprise_of_mean_score(self, mean_score: float | None, scored: int) -> float:
        """Surprise of a mean score as low as this over `scored` stories."""
        if mean_score is None:
            return 0.0
        return score_surprise(mean_score, scored, self.mean_score, self.score_variance)


def expect(baselines: Iterable[Baseline], prior: Prior, window_ms: int, end_ms: int) -> Expectation:
    """The expectation of a window from the baselines of its kinds, advanced to one moment.

    It changes only when `at_ms` or `end_ms` passes a whole hour (UTC; a whole hour itself belongs
    to the hour that it ends): a window takes the rhythm of one that ends in the middle of its
    last hour. So it may be kept for as long.
    """
    clump, between = _window_spread(window_ms)
    middle_ms = (end_ms - 1) // HOUR_MS * HOUR_MS + HOUR_MS // 2
    start_ms = middle_ms - window_ms
    mentions = stories = stories_usual = stories_burst = 0.0
    negative = negative_usual = negative_burst = 0.0
    scored, scored_negative = PRIOR_STORIES, prior.negative_share * PRIOR_STORIES
    score = prior.mean_score * PRIOR_STORIES
    square = (PRIOR_SCORE_VARIANCE + prior.mean_score**2) * PRIOR_STORIES
    for baseline in baselines:
        days, heard, heard_negative, mentions_a_story, *tone = baseline.visible()
        length = baseline.rhythm.integral(start_ms, middle_ms)
        known = heard + prior.stories_per_day * PRIOR_DAYS
        rate = known / (days + PRIOR_DAYS)
        mean = rate * length
        usual, burst = baseline.stories.shapes(mean, known, clump, between)
        stories += mean
        stories_usual += usual * mean * mean
        stories_burst += burst * mean * mean
        mentions += mean * mentions_a_story
        known = heard_negative + PRIOR_NEGATIVE_DAYS * rate * prior.negative_share
        mean = known / (days + PRIOR_NEGATIVE_DAYS) * length
        usual, burst = baseline.negative.shapes(mean, known, clump, between)
        negative += mean
        negative_usual += usual * mean * mean
        negative_burst += burst * mean * mean
        scored += tone[0]
        scored_negative += tone[1]
        score += tone[2]
        square += tone[3]
    mean_score = score / scored
    return Expectation(
        mentions,
        stories,
        stories * stories / stories_usual,
        stories * stories / stories_burst,
        negative,
        negative * negative / negative_usual,
        negative * negative / negative_burst,
        negative_share=scored_negative / scored,
        mean_score=mean_score,
        score_variance=max(square / scored - mean_score**2, 0.01),
    )
