"""What is usual for one subject and kind, learnt online, and how surprising a window is.

Counts follow a Gamma–Poisson model with exponential forgetting: the rate of stories an hour has a
Gamma posterior whose prior is the watchlist's, and a window's count a negative binomial
predictive, widened by a fixed over-dispersion because news comes in bursts. The share of negative
stories follows a Beta–Binomial model in the same manner, and the mean score a normal one.
(Gelman et al., Bayesian Data Analysis, 3rd ed., sections 2.4 to 2.6.)

Surprise is −log10 of the probability, under what is usual, of a value at least as extreme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scipy.special import cython_special

from undertone.trends.panes import Counts
from undertone.watchlist.subjects import Prior

HOUR_MS = 3_600_000
HALF_LIFE_MS = 14 * 24 * HOUR_MS
# The prior weighs as much as two days of listening, and its share and score as twenty stories.
PRIOR_HOURS = 48.0
PRIOR_STORIES = 20.0
# Variance of a window's count is mean + mean² × this, beside what is uncertain about the rate.
OVER_DISPERSION = 0.5
# However long the history, a window's share is known no better than from this many stories:
# stories of one day hang together.
SHARE_STORIES_CAP = 60.0
PRIOR_SCORE_VARIANCE = 0.25
SCORE_DRIFT_VARIANCE = 0.01
SURPRISE_CAP = 99.0
_LEAST_TAIL = 10**-SURPRISE_CAP
# ∫ 2^(−t ÷ half-life) dt over all of the past, in hours.
_HOURS_A_FULL_DECAY = HALF_LIFE_MS / math.log(2) / HOUR_MS


@dataclass(slots=True)
class Baseline:
    """What is usual for one subject and kind.

    Sums of the past with exponential forgetting, as of `at_ms`: `hours` listened, and the
    mentions, stories, scored and negative stories, scores and squared scores heard in them.
    """

    at_ms: int
    hours: float = 0.0
    mentions: float = 0.0
    stories: float = 0.0
    scored: float = 0.0
    negative: float = 0.0
    score: float = 0.0
    score_square: float = 0.0

    def advance(self, to_ms: int) -> None:
        """Forget up to `to_ms` and count the time listened."""
        if to_ms <= self.at_ms:
            return
        decay = math.exp2(-(to_ms - self.at_ms) / HALF_LIFE_MS)
        # ∫ 2^(−age ÷ half-life) over the span.
        self.hours = self.hours * decay + _HOURS_A_FULL_DECAY * (1.0 - decay)
        self.mentions *= decay
        self.stories *= decay
        self.scored *= decay
        self.negative *= decay
        self.score *= decay
        self.score_square *= decay
        self.at_ms = to_ms

    def learn(self, counts: Counts) -> None:
        """Take in the counts of a closed pane that ends at `at_ms`."""
        self.mentions += counts.mentions
        self.stories += counts.stories
        self.scored += counts.scored
        self.negative += counts.negative
        self.score += counts.score_millis / 1000
        self.score_square += counts.score_square_millis / 1000

    def to_list(self) -> list[float]:
        """The fields in order, for storage."""
        return [
            self.at_ms,
            self.hours,
            self.mentions,
            self.stories,
            self.scored,
            self.negative,
            self.score,
            self.score_square,
        ]

    @classmethod
    def from_list(cls, values: Sequence[float]) -> Baseline:
        """The reverse of `to_list`."""
        return cls(int(values[0]), *values[1:])


class Expectation(NamedTuple):
    """What one window of one or several kinds should hold."""

    mentions: float
    stories: float
    stories_variance: float
    negative: float
    negative_variance: float
    negative_share: float
    mean_score: float
    score_variance: float

    def surprise_of_volume(self, observed: int) -> float:
        """Surprise of at least `observed` stories."""
        return count_surprise(observed, self.stories, self.stories_variance)

    def surprise_of_negative_volume(self, observed: int) -> float:
        """Surprise of at least `observed` negative stories."""
        return count_surprise(observed, self.negative, self.negative_variance)

    def surprise_of_negative_share(self, negative: int, scored: int) -> float:
        """Surprise of at least `negative` negative stories among `scored`."""
        return share_surprise(negative, scored, self.negative_share, SHARE_STORIES_CAP)

    def surprise_of_mean_score(self, mean_score: float | None, scored: int) -> float:
        """Surprise of a mean score as low as this over `scored` stories."""
        if mean_score is None:
            return 0.0
        variance = self.score_variance / scored + SCORE_DRIFT_VARIANCE
        return low_surprise((mean_score - self.mean_score) / math.sqrt(variance))


def expect(baselines: Sequence[Baseline], prior: Prior, window_ms: int, end_ms: int) -> Expectation:
    """The expectation of a window that ends at `end_ms`, from its kinds' baselines as of then."""
    hours = window_ms / HOUR_MS
    prior_stories = prior.stories_per_day / 24 * PRIOR_HOURS
    prior_negative = prior_stories * prior.negative_share
    mentions = stories = stories_variance = negative = negative_variance = 0.0
    scored_seen = negative_seen = score_seen = square_seen = 0.0
    # Written out, not called: this is done for every trend point.
    for baseline in baselines:
        listened = baseline.hours + PRIOR_HOURS
        mentions += (baseline.mentions + prior_stories) / listened * hours
        # Mean and variance of a window's count under its Gamma posterior.
        weighed = baseline.stories + prior_stories
        mean = weighed / listened * hours
        stories += mean
        stories_variance += mean + mean * mean * (1 / max(weighed, 1e-6) + OVER_DISPERSION)
        weighed = baseline.negative + prior_negative
        mean = weighed / listened * hours
        negative += mean
        negative_variance += mean + mean * mean * (1 / max(weighed, 1e-6) + OVER_DISPERSION)
        scored_seen += baseline.scored
        negative_seen += baseline.negative
        score_seen += baseline.score
        square_seen += baseline.score_square
    weight = scored_seen + PRIOR_STORIES
    mean_score = (score_seen + prior.mean_score * PRIOR_STORIES) / weight
    square = (square_seen + (PRIOR_SCORE_VARIANCE + prior.mean_score**2) * PRIOR_STORIES) / weight
    return Expectation(
        mentions,
        stories,
        stories_variance,
        negative,
        negative_variance,
        negative_share=(negative_seen + prior.negative_share * PRIOR_STORIES) / weight,
        mean_score=mean_score,
        score_variance=max(square - mean_score**2, 0.01),
    )


def count_surprise(observed: int, mean: float, variance: float) -> float:
    """−log10 P(X ≥ observed) for a negative binomial of this mean and variance (> mean)."""
    if observed <= 0:
        return 0.0
    if mean <= 0:
        return SURPRISE_CAP
    shape = mean * mean / max(variance - mean, 1e-12)
    # The upper tail of the negative binomial is a regularised incomplete beta function.
    # (Called as a function on one number: as scipy's function on arrays it costs four times that.)
    tail: float = cython_special.betainc(float(observed), shape, mean / (mean + shape))
    return _to_surprise(tail)


def share_surprise(negative: int, scored: int, share: float, strength: float) -> float:
    """−log10 P(X ≥ negative) for a Beta–Binomial of `scored` draws around `share`."""
    if negative <= 0 or scored <= 0:
        return 0.0
    alpha, beta = share * strength, (1 - share) * strength
    mass = math.exp(
        math.lgamma(scored + 1)
        - math.lgamma(negative + 1)
        - math.lgamma(scored - negative + 1)
        + _log_beta(negative + alpha, scored - negative + beta)
        - _log_beta(alpha, beta)
    )
    tail = mass
    for count in range(negative, scored):
        # The ratio of neighbouring masses; far out in the tail nothing more is added.
        mass *= (scored - count) / (count + 1) * (count + alpha) / (scored - count - 1 + beta)
        tail += mass
        if mass < tail * 1e-17:
            break
    return _to_surprise(tail)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def low_surprise(z: float) -> float:
    """−log10 P(Z ≤ z) for a standard normal."""
    return min(max(-float(cython_special.log_ndtr(z)) / math.log(10), 0.0), SURPRISE_CAP)


def _to_surprise(tail: float) -> float:
    if tail > 1.0:
        return 0.0
    return -math.log10(tail) if tail > _LEAST_TAIL else SURPRISE_CAP
