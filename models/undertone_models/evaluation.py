"""How good a classifier is on labelled rows: figures, their uncertainty, confusion, calibration."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from undertone_models.classifier import SentimentClassifier
from undertone_models.figures import (
    BINS,
    RESAMPLES,
    SEED,
    DoubleArray,
    IntArray,
    Interval,
    bins_of,
    calibrated_ece,
    confidences,
    confusion_of,
    headline_figures,
    headline_intervals,
    row_statistics,
)
from undertone_models.labelled import LabelledRow
from undertone_models.pairs import LABELS, FloatArray

__all__ = [
    "Answers",
    "ClassFigures",
    "Evaluation",
    "Figures",
    "ReliabilityBin",
    "answer_rows",
    "classify_rows",
    "evaluate",
    "expected_calibration_error",
    "measure",
    "rows_by_source",
    "truth_of",
]

CHUNK_ROWS = 1024


@dataclass(frozen=True)
class ClassFigures:
    """Precision, recall and F1 of one label (0 where undefined); `n` rows truly have it.

    `ece` is the label's own calibration error, over bins of its probability in every row, whatever
    the answer (classwise ECE: Kull et al. 2019).
    """

    precision: float
    recall: float
    f1: float
    n: int
    ece: float


@dataclass(frozen=True)
class ReliabilityBin:
    """The `n` answers whose probability lies in `low` to `high`: said and true share right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Figures:
    """Figures of some rows; what each means is said in `figures.headline_figures`.

    `ece_if_calibrated` is the mean ECE of a perfectly calibrated model on as many rows;
    `confidence_intervals` are 95% bootstrap intervals of the headline figures; `confusion` counts
    rows by true label, then answer; `reliability` holds the bins that have rows.
    """

    n: int
    accuracy: float
    macro_f1: float
    macro_recall: float
    ece: float
    ece_if_calibrated: float
    confidence_intervals: dict[str, Interval]
    confusion: dict[str, dict[str, int]]
    reliability: list[ReliabilityBin]


@dataclass(frozen=True)
class Evaluation(Figures):
    """Figures of a classifier on labelled rows: of all, of each label, of each source."""

    per_class: dict[str, ClassFigures]
    per_source: dict[str, Figures]
    messages_per_second: float

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, as `undertone evaluate --json` prints them."""
        return asdict(self)


class Answers(NamedTuple):
    """A classifier's probabilities of some rows, shape (n, 3), and how fast it gave them."""

    probabilities: FloatArray
    messages_per_second: float


def evaluate(
    classifier: SentimentClassifier,
    rows: Sequence[LabelledRow],
    *,
    clock: Callable[[], float] = time.perf_counter,
    on_rows: Callable[[int], None] | None = None,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Classify all rows and measure; `on_rows` is told the rows done after each chunk."""
    answers = answer_rows(classifier, rows, clock=clock, on_rows=on_rows)
    return measure(
        answers.probabilities,
        rows,
        messages_per_second=answers.messages_per_second,
        resamples=resamples,
    )


def answer_rows(
    classifier: SentimentClassifier,
    rows: Sequence[LabelledRow],
    *,
    clock: Callable[[], float] = time.perf_counter,
    on_rows: Callable[[int], None] | None = None,
) -> Answers:
    """Classify all rows against a clock (seconds)."""
    started = clock()
    probabilities = classify_rows(classifier, rows, on_rows=on_rows)
    seconds = clock() - started
    return Answers(probabilities, len(rows) / seconds if seconds > 0 else 0.0)


def classify_rows(
    classifier: SentimentClassifier,
    rows: Sequence[LabelledRow],
    *,
    on_rows: Callable[[int], None] | None = None,
) -> FloatArray:
    """Probabilities of all rows, shape (n, 3), in chunks."""
    chunks: list[FloatArray] = []
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = rows[start : start + CHUNK_ROWS]
        chunks.append(classifier.classify([row.pair for row in chunk]))
        if on_rows:
            on_rows(len(chunk))
    return np.concatenate(chunks) if chunks else np.empty((0, len(LABELS)), dtype=np.float32)


def measure(
    probabilities: FloatArray,
    rows: Sequence[LabelledRow],
    *,
    messages_per_second: float = 0.0,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Evaluation:
    """Figures of given probabilities (n, 3) against the rows' labels.

    `resamples` (0: none) and `seed` are those of the confidence intervals.
    """
    truth = truth_of(rows)
    overall = _figures(probabilities, truth, resamples, seed)
    return Evaluation(
        **vars(overall),
        per_class=_class_figures(probabilities, truth),
        per_source={
            source: _figures(probabilities[members], truth[members], resamples, seed)
            for source, members in rows_by_source(rows).items()
        },
        messages_per_second=messages_per_second,
    )


def truth_of(rows: Sequence[LabelledRow]) -> IntArray:
    """The labels of rows, as indices into LABELS."""
    return np.array([row.label for row in rows], dtype=np.int64)


def rows_by_source(rows: Sequence[LabelledRow]) -> dict[str, IntArray]:
    """The positions of each source's rows, sources in alphabetical order."""
    sources = np.array([row.source for row in rows])
    return {str(name): np.flatnonzero(sources == name) for name in sorted(set(sources.tolist()))}


def expected_calibration_error(probabilities: FloatArray, truth: IntArray) -> float:
    """Mean over rows of |accuracy − mean confidence| of the row's confidence bin."""
    return float(headline_figures(row_statistics(probabilities, truth).sum(axis=0))["ece"])


def _figures(probabilities: FloatArray, truth: IntArray, resamples: int, seed: int) -> Figures:
    statistics = row_statistics(probabilities, truth)
    sums = statistics.sum(axis=0)
    headlines = {name: float(value) for name, value in headline_figures(sums).items()}
    confidence = confidences(probabilities)
    return Figures(
        n=len(truth),
        **headlines,
        ece_if_calibrated=calibrated_ece(confidence, resamples=resamples, seed=seed),
        confidence_intervals=headline_intervals(
            headlines, statistics, resamples=resamples, seed=seed
        ),
        confusion={
            label: {answer: int(count) for answer, count in zip(LABELS, counts, strict=True)}
            for label, counts in zip(LABELS, confusion_of(sums), strict=True)
        },
        reliability=_reliability(confidence, probabilities.argmax(axis=1) == truth),
    )


def _reliability(confidence: DoubleArray, right: Any) -> list[ReliabilityBin]:
    bins = bins_of(confidence)
    return [
        ReliabilityBin(
            low=int(number) / BINS,
            high=(int(number) + 1) / BINS,
            n=int(np.sum(bins == number)),
            confidence=float(confidence[bins == number].mean()),
            accuracy=float(right[bins == number].mean()),
        )
        for number in np.unique(bins)
    ]


def _class_figures(probabilities: FloatArray, truth: IntArray) -> dict[str, ClassFigures]:
    answers = probabilities.argmax(axis=1)
    figures = {}
    for index, label in enumerate(LABELS):
        right = int(np.sum((truth == index) & (answers == index)))
        n, answered = int(np.sum(truth == index)), int(np.sum(answers == index))
        said = probabilities[:, index].astype(np.float64)
        gaps = np.bincount(bins_of(said), weights=(truth == index) - said)
        figures[label] = ClassFigures(
            precision=_ratio(right, answered),
            recall=_ratio(right, n),
            f1=_ratio(2 * right, n + answered),
            n=n,
            ece=_ratio(float(np.abs(gaps).sum()), len(truth)),
        )
    return figures


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
