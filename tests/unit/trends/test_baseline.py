"""Baselines learn what is usual; surprise is a calibrated tail."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from undertone.trends.baseline import (
    HALF_LIFE_MS,
    HOUR_MS,
    PRIOR_HOURS,
    SURPRISE_CAP,
    Baseline,
    count_surprise,
    expect,
    low_surprise,
    share_surprise,
)
from undertone.trends.panes import Counts
from undertone.watchlist.subjects import Prior


@given(st.integers(1, 60), st.floats(0.01, 50), st.floats(0.01, 5))
def test_count_surprise_is_the_negative_binomial_tail(
    observed: int, mean: float, dispersion: float
) -> None:
    shape = 1 / dispersion
    tail = stats.nbinom.sf(observed - 1, shape, shape / (shape + mean))
    surprise = count_surprise(observed, mean, mean + dispersion * mean**2)
    assert surprise == pytest.approx(min(-math.log10(tail), SURPRISE_CAP), abs=1e-4)


@given(st.integers(1, 60), st.integers(0, 60), st.floats(0.05, 0.95))
def test_share_surprise_is_the_beta_binomial_tail(negative: int, more: int, share: float) -> None:
    scored = negative + more
    # Summed from the mass function: scipy's own tail is 1 − cdf, which loses its digits.
    counts = range(negative, scored + 1)
    tail = math.fsum(stats.betabinom.pmf(counts, scored, share * 60, (1 - share) * 60))
    assert share_surprise(negative, scored, share, 60) == pytest.approx(
        min(-math.log10(tail), SURPRISE_CAP), abs=1e-4
    )


def test_nothing_observed_is_no_surprise() -> None:
    assert count_surprise(0, 1.0, 2.0) == 0
    assert share_surprise(0, 10, 0.3, 60) == 0
    assert low_surprise(0.0) == pytest.approx(math.log10(2))


def test_an_impossible_count_is_capped_and_finite() -> None:
    assert count_surprise(10_000, 0.001, 0.0010001) == SURPRISE_CAP


def test_a_new_subject_expects_what_the_watchlist_says() -> None:
    usual = expect([Baseline(at_ms=0)], Prior(stories_per_day=24, negative_share=0.5), HOUR_MS, 0)
    assert usual.stories == pytest.approx(1.0)
    assert usual.negative == pytest.approx(0.5)
    assert usual.negative_share == pytest.approx(0.5)


def test_a_baseline_learns_the_rate_it_hears() -> None:
    baseline, draw = Baseline(at_ms=0), random.Random(7)
    for hour in range(60 * 24):
        baseline.advance((hour + 1) * HOUR_MS)
        heard = draw.randrange(7)  # three an hour
        baseline.learn(Counts(mentions=heard, stories=heard, neutral=heard))
    usual = expect([baseline], Prior(), HOUR_MS, baseline.at_ms)
    assert usual.stories == pytest.approx(3.0, rel=0.2)
    assert usual.negative_share < 0.05


def test_the_past_is_forgotten_by_half_in_a_half_life() -> None:
    baseline = Baseline(at_ms=0)
    baseline.learn(Counts(stories=8))
    baseline.advance(HALF_LIFE_MS)
    assert baseline.stories == pytest.approx(4.0)


@given(st.integers(0, 30))
def test_more_is_never_less_surprising(observed: int) -> None:
    usual = expect([Baseline(at_ms=0, hours=PRIOR_HOURS, stories=40)], Prior(), HOUR_MS, 0)
    assert usual.surprise_of_volume(observed + 1) >= usual.surprise_of_volume(observed)


def test_surprise_is_about_calibrated_on_its_own_model() -> None:
    # Counts drawn from the predictive itself: surprise ≥ 2 occurs about once in a hundred.
    draws = stats.nbinom.rvs(2.0, 2.0 / (2.0 + 5.0), size=20_000, random_state=3)
    share = sum(count_surprise(int(x), 5.0, 5.0 + 25.0 / 2) >= 2 for x in draws) / len(draws)
    assert 0.004 < share <= 0.0115


def test_storage_keeps_every_digit() -> None:
    baseline = Baseline(5, 1 / 3, 2.5, 0.1, 7.0, 1e-9, -3.3, 4.4)
    assert Baseline.from_list(baseline.to_list()) == baseline
