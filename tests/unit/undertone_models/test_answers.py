"""What a row of probabilities means."""

from __future__ import annotations

import pytest

from undertone_models.answers import answer_of, valid_scores


@pytest.mark.parametrize("row", [(float("nan"), 0, 0), (float("inf"), 0, 0), (-1, 1, 1), (0, 0, 0)])
def test_what_is_no_distribution_is_no_score(row: tuple[float, float, float]) -> None:
    assert valid_scores(row) is None


def test_an_answer_is_the_likeliest_label_with_its_probabilities_to_three_decimals() -> None:
    assert answer_of((0.12345, 0.25, 0.62655)) == {
        "label": "positive",
        "p_negative": 0.123,
        "p_neutral": 0.25,
        "p_positive": 0.627,
    }


def test_of_equal_probabilities_the_first_label_counts() -> None:
    assert answer_of((0.4, 0.2, 0.4))["label"] == "negative"
