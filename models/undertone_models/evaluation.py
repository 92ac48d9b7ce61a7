"""How good a classifier is on labelled rows, and the temperature that calibrates it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from undertone_models.classifier import SentimentClassifier
from undertone_models.labelled import LabelledRow
from undertone_models.pairs import LABELS, FloatArray

CALIBRATION_BINS = 15
CHUNK_ROWS = 1024

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class ClassFigures:
    """Precision, recall and F1 of one label (0 where undefined); `n` rows truly have it."""

    precision: float
    recall: float
    f1: float
    n: int


@dataclass(frozen=True)
class SourceFigures:
    """Figures of the rows of one source."""

    n: int
    accuracy: float
    macro_f1: float
    macro_recall: float


@dataclass(frozen=True)
class Evaluation:
    """Figures of a classifier on labelled rows.

    Macro averages are over the labels that occur among the truth or the answers; `ece` is the
    expected calibration error over 15 equal bins of the answer's probability (Guo et al. 2017).
    """

    n: int
    accuracy: float
    macro_f1: float
    macro_recall: float
    ece: float
    per_class: dict[str, ClassFigures]
    per_source: dict[str, SourceFigures]
    messages_per_second: float

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, as `undertone evaluate --json` prints them."""
        return asdict(self)


def evaluate(
    classifier: SentimentClassifier,
    rows: Sequence[LabelledRow],
    *,
    clock: Callable[[], float] = time.perf_counter,
    on_rows: Callable[[int], None] | None = None,
) -> Evaluation:
    """Classify all rows and measure; `on_rows` is told the rows done after each chunk."""
    started = clock()
    answers = classify_rows(classifier, rows, on_rows=on_rows)
    seconds = clock() - started
    return measure(answers, rows, messages_per_second=len(rows) / seconds if seconds > 0 else 0.0)


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
    probabilities: FloatArray, rows: Sequence[LabelledRow], *, messages_per_second: float = 0.0
) -> Evaluation:
    """Figures of given probabilities (n, 3) against the rows' labels."""
    truth = np.array([row.label for row in rows], dtype=np.int64)
    answers = probabilities.argmax(axis=1).astype(np.int64)
    sources = np.array([row.source for row in rows])
    overall = _source_figures(truth, answers)
    return Evaluation(
        n=overall.n,
        accuracy=overall.accuracy,
        macro_f1=overall.macro_f1,
        macro_recall=overall.macro_recall,
        ece=expected_calibration_error(probabilities, truth),
        per_class=class_figures(truth, answers),
        per_source={
            str(source): _source_figures(truth[sources == source], answers[sources == source])
            for source in sorted(set(sources.tolist()))
        },
        messages_per_second=messages_per_second,
    )


def class_figures(truth: IntArray, answers: IntArray) -> dict[str, ClassFigures]:
    """Figures of each label."""
    figures = {}
    for index, label in enumerate(LABELS):
        right = int(np.sum((truth == index) & (answers == index)))
        n, answered = int(np.sum(truth == index)), int(np.sum(answers == index))
        figures[label] = ClassFigures(
            precision=_ratio(right, answered),
            recall=_ratio(right, n),
            f1=_ratio(2 * right, n + answered),
            n=n,
        )
    return figures


def expected_calibration_error(probabilities: FloatArray, truth: IntArray) -> float:
    """Mean over rows of |accuracy − mean confidence| of the row's confidence bin."""
    if not len(truth):
        return 0.0
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [
        abs(float(np.sum(right[bins == number] - confidence[bins == number])))
        for number in np.unique(bins)
    ]
    return sum(gaps) / len(truth)


def fit_temperature(probabilities: FloatArray, rows: Sequence[LabelledRow]) -> float:
    """The temperature that makes these probabilities, taken at temperature 1, likeliest.

    It changes no answer, only how sure the answers are (Guo et al. 2017).
    """
    truth = np.array([row.label for row in rows], dtype=np.int64)
    logs = np.log(np.maximum(probabilities.astype(np.float64), 1e-9))

    def loss(temperature: float) -> float:
        scaled = logs / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        normalisers = np.log(np.exp(scaled).sum(axis=1))
        return float(np.mean(normalisers - scaled[np.arange(len(truth)), truth]))

    return float(minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded").x)


def _source_figures(truth: IntArray, answers: IntArray) -> SourceFigures:
    occurring = {LABELS[index] for index in {*truth.tolist(), *answers.tolist()}}
    figures = [
        value for label, value in class_figures(truth, answers).items() if label in occurring
    ]
    return SourceFigures(
        n=len(truth),
        accuracy=_ratio(int(np.sum(truth == answers)), len(truth)),
        macro_f1=_ratio(sum(value.f1 for value in figures), len(figures)),
        macro_recall=_ratio(sum(value.recall for value in figures), len(figures)),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
