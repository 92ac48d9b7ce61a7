"""How surprising a window is: −log10 of the probability, if all is usual, of its value or worse.

- Counts: a negative binomial, the predictive of a Gamma–Poisson rate (Gelman et al., Bayesian Data
  Analysis, 3rd ed., section 2.6), mixed with a few per cent of one that is far more dispersed with
  the same mean: the tails of news are heavier than any one negative binomial's.
- Shares: a binomial over the effective number of stories (Kish's design effect: stories of one
  day hang together), its tail continued to real numbers by the incomplete beta function.
- Scores: a mean over the effective number of stories, with Student's tail.

Each comes for one number, as the hot path asks, and for numpy arrays, in the same arithmetic.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.special import cython_special

SURPRISE_CAP = 99.0
_LEAST_TAIL = 10**-SURPRISE_CAP
# With this probability a window is of a burst, whose excess variance is so many times the usual.
BURST_SHARE = 0.02
BURST_EXCESS = 8.0
# However many stories, their share and mean score are known no better than from about this many.
SHARE_STORIES = 12.0
SCORE_FREEDOM = 15.0

Floats = NDArray[np.float64]


def count_surprise(observed: int, mean: float, shape: float, burst_shape: float) -> float:
    """−log10 P(X ≥ observed); `shape` is mean² ÷ excess variance, usual and in a burst."""
    if observed <= 0:
        return 0.0
    if mean <= 0:
        return SURPRISE_CAP
    # The upper tail of a negative binomial is a regularised incomplete beta function. (Called as
    # a function on one number: scipy.stats.nbinom costs fifty times that.)
    usual = cython_special.betainc(float(observed), shape, mean / (mean + shape))
    burst = cython_special.betainc(float(observed), burst_shape, mean / (mean + burst_shape))
    return _to_surprise((1 - BURST_SHARE) * usual + BURST_SHARE * burst)


def share_surprise(negative: int, scored: int, share: float) -> float:
    """−log10 P(at least `negative` of `scored` are negative), where `share` is usual."""
    if negative <= 0 or scored <= 0:
        return 0.0
    weight = (SHARE_STORIES + 1) / (SHARE_STORIES + scored)
    # As float divisions throughout, so that arrays give the same digits.
    tail = cython_special.betainc(negative * weight, (scored - negative) * weight + 1, share)
    return _to_surprise(tail)


def score_surprise(mean_score: float, scored: int, usual: float, variance: float) -> float:
    """−log10 P(a mean over `scored` stories is as low), given the usual mean and the variance of
    one story's score."""
    if scored <= 0:
        return 0.0
    effective = scored * (SHARE_STORIES + 1) / (SHARE_STORIES + scored)
    deviation = (mean_score - usual) / math.sqrt(variance / effective)
    return _to_surprise(cython_special.stdtr(SCORE_FREEDOM, deviation))


def _to_surprise(tail: float) -> float:
    if tail >= 1.0:
        return 0.0
    return -math.log10(tail) if tail > _LEAST_TAIL else SURPRISE_CAP


def count_surprises(observed: Floats, mean: Floats, shape: Floats, burst_shape: Floats) -> Floats:
    """`count_surprise` over arrays."""
    at = np.maximum(observed, 1.0)
    usual = special.betainc(at, shape, mean / (mean + shape))
    burst = special.betainc(at, burst_shape, mean / (mean + burst_shape))
    tail = (1 - BURST_SHARE) * usual + BURST_SHARE * burst
    tail = np.where(mean > 0, tail, 0.0)
    return _to_surprises(np.where(observed > 0, tail, 1.0))


def share_surprises(negative: Floats, scored: Floats, share: Floats) -> Floats:
    """`share_surprise` over arrays."""
    weight = (SHARE_STORIES + 1) / (SHARE_STORIES + scored)
    at = np.maximum(negative, 1.0)
    tail = special.betainc(at * weight, np.maximum(scored - at, 0.0) * weight + 1, share)
    return _to_surprises(np.where((negative > 0) & (scored > 0), tail, 1.0))


def score_surprises(mean_score: Floats, scored: Floats, usual: Floats, variance: Floats) -> Floats:
    """`score_surprise` over arrays; any mean goes where nothing is scored."""
    some = np.maximum(scored, 1.0)
    effective = some * (SHARE_STORIES + 1) / (SHARE_STORIES + some)
    tail = special.stdtr(SCORE_FREEDOM, (mean_score - usual) / np.sqrt(variance / effective))
    return _to_surprises(np.where(scored > 0, tail, 1.0))


def _to_surprises(tail: Floats) -> Floats:
    seen = -np.log10(np.maximum(tail, _LEAST_TAIL))
    return np.where(tail >= 1.0, 0.0, np.where(tail > _LEAST_TAIL, seen, SURPRISE_CAP))
