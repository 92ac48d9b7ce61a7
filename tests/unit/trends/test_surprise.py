"""Surprise is the tail of what is usual, the same for one number and for arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from undertone.trends.surprise import (
    BURST_SHARE,
    SCORE_FREEDOM,
    SHARE_STORIES,
    SURPRISE_CAP,
    count_surprise,
    count_surprises,
    score_surprise,
    score_surprises,
    share_surprise,
    share_surprises,
)

MEANS = st.floats(0.001, 200)
SHAPES = st.floats(0.05, 50)
SHARES = st.floats(0.02, 0.95)


@given(st.integers(1, 60), MEANS, SHAPES, SHAPES)
def test_count_surprise_is_the_tail_of_two_negative_binomials(
    observed: int, mean: float, shape: float, burst_shape: float
) -> None:
    usual, burst = (
        stats.nbinom.sf(observed - 1, each, each / (each + mean)) for each in (shape, burst_shape)
    )
    tail = (1 - BURST_SHARE) * usual + BURST_SHARE * burst
    surprise = count_surprise(observed, mean, shape, burst_shape)
    assert surprise == pytest.approx(min(-math.log10(tail), SURPRISE_CAP), abs=1e-4)


@given(st.integers(0, 200), MEANS, SHAPES, SHAPES)
def test_more_is_never_less_surprising(
    observed: int, mean: float, shape: float, burst_shape: float
) -> None:
    usual = (mean, shape, burst_shape)
    assert count_surprise(observed + 1, *usual) >= count_surprise(observed, *usual)


@given(SHARES)
def test_one_negative_story_is_as_surprising_as_the_share_says(share: float) -> None:
    assert share_surprise(1, 1, share) == pytest.approx(-math.log10(share))


@given(st.integers(1, 40), st.integers(0, 40), SHARES)
def test_share_surprise_lies_between_a_few_stories_and_all_of_them(
    negative: int, more: int, share: float
) -> None:
    scored = negative + more
    all_of_them = -stats.binom.logsf(negative - 1, scored, share) / math.log(10)
    surprise = share_surprise(negative, scored, share)
    assert surprise >= 0
    if negative > scored * share + 1:  # Where it is more than usual, fewer stories tell less.
        assert surprise <= all_of_them + 1e-9


@given(st.integers(1, 1000))
def test_a_share_is_known_no_better_than_from_a_few_stories(scored: int) -> None:
    most = -math.log10(0.1) * (SHARE_STORIES + 1)
    assert share_surprise(scored, scored, 0.1) <= most + 1e-9


@given(st.floats(-1, 1), st.integers(1, 500), st.floats(-0.9, 0.9), st.floats(0.01, 1))
def test_score_surprise_is_students_tail(
    score: float, scored: int, usual: float, variance: float
) -> None:
    effective = scored * (SHARE_STORIES + 1) / (SHARE_STORIES + scored)
    tail = stats.t.cdf((score - usual) / math.sqrt(variance / effective), SCORE_FREEDOM)
    assert score_surprise(score, scored, usual, variance) == pytest.approx(
        -math.log10(tail), abs=1e-6
    )


def test_nothing_observed_is_no_surprise() -> None:
    assert count_surprise(0, 1.0, 2.0, 0.5) == 0
    assert share_surprise(0, 10, 0.3) == 0
    assert share_surprise(0, 0, 0.3) == 0
    assert score_surprise(-1.0, 0, 0.0, 0.2) == 0


def test_an_impossible_count_is_capped_and_finite() -> None:
    assert count_surprise(10_000, 1e-9, 10.0, 1.0) == SURPRISE_CAP
    assert count_surprise(1, 0.0, 1.0, 1.0) == SURPRISE_CAP


@given(st.lists(st.tuples(st.integers(0, 3000), MEANS, SHAPES, SHAPES), min_size=1))
def test_counts_in_arrays_give_the_same_numbers(
    rows: list[tuple[int, float, float, float]],
) -> None:
    arrays = count_surprises(*np.array(rows, dtype=np.float64).T)
    assert arrays.tolist() == pytest.approx([count_surprise(*row) for row in rows], abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), SHARES), min_size=1))
def test_shares_in_arrays_give_the_same_numbers(rows: list[tuple[int, int, float]]) -> None:
    rows = [(negative, negative + more, share) for negative, more, share in rows]
    arrays = share_surprises(*np.array(rows, dtype=np.float64).T)
    assert arrays.tolist() == pytest.approx([share_surprise(*row) for row in rows], abs=1e-12)


@given(
    st.lists(
        st.tuples(st.floats(-1, 1), st.integers(0, 300), st.floats(-0.9, 0.9), st.floats(0.01, 1)),
        min_size=1,
    )
)
def test_scores_in_arrays_give_the_same_numbers(
    rows: list[tuple[float, int, float, float]],
) -> None:
    arrays = score_surprises(*np.array(rows, dtype=np.float64).T)
    assert arrays.tolist() == pytest.approx([score_surprise(*row) for row in rows], abs=1e-12)
