"""What int8 costs: the torch engine and the ONNX engine on the same labelled rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from undertone_models.classifier import SentimentClassifier
from undertone_models.evaluation import classify_rows, rows_by_source, truth_of
from undertone_models.labelled import LabelledRow

ALLOWED_LOSS_POINTS = 0.5
ALLOWED_BATCH_DIFFERENCE = 0.002
ROWS_ALONE = 500  # so many, spread evenly, are also read alone


@dataclass(frozen=True)
class SourceLoss:
    """Accuracies of `n` rows; the loss is in points, below 0 where int8 is the better."""

    n: int
    torch_accuracy: float
    int8_accuracy: float
    loss_points: float
    within_limit: bool


@dataclass(frozen=True)
class QuantisationLoss:
    """All rows together under `overall`, then each source.

    The differences are the largest of any probability: int8 against torch, and int8 read alone
    against int8 read in a batch (of `alone_n` rows).
    """

    overall: SourceLoss
    per_source: dict[str, SourceLoss]
    largest_probability_difference: float
    largest_batch_difference: float
    batch_within_limit: bool
    alone_n: int

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return asdict(self)


def measure_loss(
    exact: SentimentClassifier,
    quantised: SentimentClassifier,
    rows: Sequence[LabelledRow],
    *,
    on_rows: Callable[[int], None] | None = None,
) -> QuantisationLoss:
    """Compare the two on these rows (at least one); `on_rows` hears of `work_of(rows)` in all."""
    right = classify_rows(exact, rows, on_rows=on_rows)
    approximate = classify_rows(quantised, rows, on_rows=on_rows)
    chosen = np.unique(np.linspace(0, len(rows) - 1, ROWS_ALONE).round().astype(int))
    apart = 0.0
    for index in chosen:
        alone = quantised.classify([rows[index].pair])[0]
        apart = max(apart, float(np.abs(alone - approximate[index]).max()))
        if on_rows:
            on_rows(1)
    truth = truth_of(rows)
    hits = right.argmax(axis=1) == truth, approximate.argmax(axis=1) == truth
    return QuantisationLoss(
        overall=_loss(*hits),
        per_source={
            source: _loss(hits[0][where], hits[1][where])
            for source, where in rows_by_source(rows).items()
        },
        largest_probability_difference=float(np.abs(right - approximate).max()),
        largest_batch_difference=apart,
        batch_within_limit=apart <= ALLOWED_BATCH_DIFFERENCE,
        alone_n=len(chosen),
    )


def work_of(rows: Sequence[LabelledRow]) -> int:
    """How many rows `measure_loss` reads: each with both engines, some once more alone."""
    return 2 * len(rows) + min(ROWS_ALONE, len(rows))


def _loss(exact: Any, quantised: Any) -> SourceLoss:
    before, after = float(np.mean(exact)), float(np.mean(quantised))
    points = round(100 * (before - after), 3)
    return SourceLoss(len(exact), before, after, points, points <= ALLOWED_LOSS_POINTS)
