"""What a classifier's rows mean: scores that are a distribution, and the answer that is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

from undertone_models.pairs import LABELS

Scores = tuple[float, float, float]
"""Probabilities in the order of LABELS."""


class Answer(TypedDict):
    """One pair's sentiment: the likeliest label, and probabilities to three decimals."""

    label: str
    p_negative: float
    p_neutral: float
    p_positive: float


def valid_scores(row: Sequence[float]) -> Scores | None:
    """One row of a classifier's output, or None where it is no distribution."""
    negative, neutral, positive = (float(value) for value in row)
    numbers = (negative, neutral, positive)
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        return None
    return numbers if math.fsum(numbers) > 0 else None


def answer_of(row: Sequence[float]) -> Answer:
    """The answer of one row of probabilities; of equal ones the first label counts."""
    negative, neutral, positive = (float(value) for value in row)
    numbers = (negative, neutral, positive)
    return {
        "label": LABELS[numbers.index(max(numbers))],
        "p_negative": round(negative, 3),
        "p_neutral": round(neutral, 3),
        "p_positive": round(positive, 3),
    }
