"""Headline figures and their bootstrap intervals, as properties and against known values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from undertone_models.figures import (
    HEADLINES,
    calibrated_ece,
    confusion_of,
    headline_figures,
    headline_intervals,
    resampled_sums,
    row_statistics,
)
from undertone_models.pairs import FloatArray


def random_answers(n: int, seed: int) -> tuple[FloatArray, np.ndarray]:
    """Probabilities (n, 3) and labels that follow them somewhat."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet((1, 1, 1), size=n).astype(np.float32)
    truth = np.where(rng.random(n) < 0.6, probabilities.argmax(axis=1), rng.integers(3, size=n))
    return probabilities, truth


@settings(max_examples=40, deadline=None)
@given(st.integers(min_value=1, max_value=200), st.integers(min_value=0, max_value=10_000))
def test_every_interval_contains_its_figure_and_stays_within_0_and_1(n: int, seed: int) -> None:
    probabilities, truth = random_answers(n, seed)
    statistics = row_statistics(probabilities, truth)
    figures = {k: float(v) for k, v in headline_figures(statistics.sum(axis=0)).items()}
    intervals = headline_intervals(figures, statistics, resamples=60)
    for name in HEADLINES:
        low, high = intervals[name]
        assert 0 <= low <= figures[name] <= high <= 1


@given(st.integers(min_value=1, max_value=60), st.integers(min_value=0, max_value=10_000))
def test_a_resample_has_as_many_rows_as_there_are(n: int, seed: int) -> None:
    sums = resampled_sums(row_statistics(*random_answers(n, seed)), resamples=7, seed=seed)
    assert sums.shape[0] == 7
    assert confusion_of(sums).sum(axis=(-2, -1)).tolist() == [n] * 7


def test_the_interval_of_accuracy_is_that_of_the_binomial() -> None:
    truth = np.array([0] * 500)
    answers = np.array([0] * 400 + [1] * 100)
    probabilities = np.eye(3, dtype=np.float32)[answers]
    statistics = row_statistics(probabilities, truth)
    figures = {k: float(v) for k, v in headline_figures(statistics.sum(axis=0)).items()}
    low, high = headline_intervals(figures, statistics, resamples=4000)["accuracy"]
    assert low == pytest.approx(binom.ppf(0.025, 500, 0.8) / 500, abs=0.004)
    assert high == pytest.approx(binom.ppf(0.975, 500, 0.8) / 500, abs=0.004)


def test_the_same_seed_draws_the_same_resamples() -> None:
    statistics = row_statistics(*random_answers(50, 1))
    first, again = (resampled_sums(statistics, resamples=20, seed=5) for _ in range(2))
    other = resampled_sums(statistics, resamples=20, seed=6)
    assert (first == again).all()
    assert (first != other).any()


def test_a_perfectly_calibrated_model_shows_less_error_on_more_rows() -> None:
    few, many = (calibrated_ece(np.full(n, 0.8), resamples=400) for n in (100, 10_000))
    # One bin: the mean |deviation| of a share of n rows is √(2p(1−p)/πn).
    assert few == pytest.approx(np.sqrt(2 * 0.16 / (np.pi * 100)), rel=0.1)
    assert many == pytest.approx(few / 10, rel=0.15)
