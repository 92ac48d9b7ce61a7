"""NAB's standard-profile score, on cases worked by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertone.benchmark.nab_scoring import (
    Window,
    normalised,
    probation_rows,
    scaled_sigmoid,
    score_series,
    weight_of,
)

# 1,000 rows, of which the first 150 are probation; a window of ten rows.
ROWS = 1_000
WINDOW = Window(400, 409)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_the_sigmoid_is_that_of_the_published_code() -> None:
    for position in (-1.0, -0.5, 0.0, 0.5, 3.0):
        assert scaled_sigmoid(position) == pytest.approx(2 * sigmoid(-5 * position) - 1)
    assert scaled_sigmoid(0.0) == 0.0
    assert scaled_sigmoid(-1.0) == pytest.approx(0.98661, abs=1e-5)
    assert scaled_sigmoid(3.01) == -1.0


def test_probation_is_fifteen_per_cent_and_at_most_750_rows() -> None:
    assert [probation_rows(rows) for rows in (10, 999, 5_000, 15_902)] == [1, 149, 750, 750]


def test_a_detection_in_a_window_is_worth_one_at_its_left_edge_and_less_to_its_right() -> None:
    top = 2 * sigmoid(5) - 1
    assert weight_of(400, [WINDOW]) == pytest.approx(1.0)
    # Row 405 has five rows to go, itself included: position −5 ÷ 10.
    assert weight_of(405, [WINDOW]) == pytest.approx((2 * sigmoid(2.5) - 1) / top)
    assert weight_of(409, [WINDOW]) == pytest.approx((2 * sigmoid(0.5) - 1) / top)


def test_a_false_detection_costs_all_before_any_window_and_more_the_farther_behind_one() -> None:
    assert weight_of(399, [WINDOW]) == -0.11
    # Three rows behind the last one, of a window nine steps wide.
    assert weight_of(412, [WINDOW]) == pytest.approx(0.11 * (2 * sigmoid(-5 * 3 / 9) - 1))
    assert weight_of(436, [WINDOW]) == pytest.approx(0.11 * (2 * sigmoid(-15) - 1))
    assert weight_of(437, [WINDOW]) == -0.11


def test_a_false_detection_is_measured_from_the_window_before_it_not_from_the_next() -> None:
    later = Window(420, 429)
    assert weight_of(415, [WINDOW, later]) == weight_of(415, [WINDOW])


def test_only_the_earliest_detection_of_a_window_counts() -> None:
    once = score_series([403], ROWS, [WINDOW])
    assert score_series([403, 404, 409], ROWS, [WINDOW]) == once
    assert (once.found, once.false_detections) == (1, 0)


def test_every_false_detection_counts_and_a_missed_window_costs_one() -> None:
    result = score_series([200, 201, 950], ROWS, [WINDOW])
    assert result.raw == pytest.approx(-1 - 3 * 0.11)
    assert (result.found, result.windows, result.false_detections) == (0, 1, 3)


def test_probation_counts_for_nothing() -> None:
    assert score_series(range(150), ROWS, [WINDOW]) == score_series([], ROWS, [WINDOW])


def test_silence_scores_nought_and_perfection_a_hundred() -> None:
    windows = [WINDOW, Window(600, 650)]
    silent, perfect = score_series([], ROWS, windows), score_series([400, 600], ROWS, windows)
    assert (silent.score, perfect.score) == (0.0, 100.0)
    # Over several series all windows weigh alike: one of two found, one of one missed.
    half = score_series([400], ROWS, windows)
    assert normalised([half, score_series([], ROWS, [WINDOW])]) == pytest.approx(100 / 3)


@settings(deadline=None)
@given(st.sets(st.integers(0, ROWS - 1)))
def test_no_detections_beat_the_perfect_ones(detections: set[int]) -> None:
    windows = [WINDOW, Window(600, 650)]
    assert score_series(detections, ROWS, windows).score <= 100.0


@settings(deadline=None)
@given(st.sets(st.integers(0, ROWS - 1)), st.integers(0, ROWS - 1))
def test_one_false_detection_more_never_helps(detections: set[int], row: int) -> None:
    windows = [WINDOW, Window(600, 650)]
    if not any(window.first <= row <= window.last for window in windows):
        before = score_series(detections, ROWS, windows).raw
        assert score_series(detections | {row}, ROWS, windows).raw <= before + 1e-12
