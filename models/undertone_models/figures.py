"""The headline figures as functions of sums over rows.

Every headline figure is computed from two kinds of sums: the nine cells of the confusion matrix,
and for each confidence bin the sum of (right − confidence). A row adds a fixed vector to them, so a
bootstrap resample is a weighted sum of these vectors: no second look at the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertone_models.pairs import LABELS, FloatArray

BINS = 15
RESAMPLES = 1000
SEED = 17
CONFIDENCE = 0.95
HEADLINES = ("accuracy", "macro_f1", "macro_recall", "ece")

_CELLS = len(LABELS) ** 2
_CHUNK_VALUES = 1 << 20  # resampled rows held at once

IntArray = NDArray[np.int64]
DoubleArray = NDArray[np.float64]
Interval = tuple[float, float]


def row_statistics(probabilities: FloatArray, truth: IntArray) -> DoubleArray:
    """What each row adds to the sums: (n, 9 + 15), confusion cells and then calibration gaps."""
    answers, confidence = probabilities.argmax(axis=1), confidences(probabilities)
    rows = np.arange(len(truth))
    statistics = np.zeros((len(truth), _CELLS + BINS))
    statistics[rows, truth * len(LABELS) + answers] = 1.0
    statistics[rows, _CELLS + bins_of(confidence)] = (answers == truth) - confidence
    return statistics


def confidences(probabilities: FloatArray) -> DoubleArray:
    """The probability of each row's answer."""
    return probabilities.max(axis=1).astype(np.float64)


def bins_of(values: DoubleArray) -> IntArray:
    """Which of the 15 equal bins of 0…1 each probability falls in."""
    return np.minimum((values * BINS).astype(np.int64), BINS - 1)


def confusion_of(sums: DoubleArray) -> DoubleArray:
    """The confusion matrix within sums (…, 24): (…, 3, 3), true label by answer."""
    return sums[..., :_CELLS].reshape(*sums.shape[:-1], len(LABELS), len(LABELS))


def headline_figures(sums: DoubleArray) -> dict[str, DoubleArray]:
    """Accuracy, macro F1, macro recall and ECE of sums (…, 24), each of shape (…).

    Macro averages are over the labels that occur among the truth or the answers; ECE is the
    expected calibration error over 15 equal bins of the answer's probability (Guo et al. 2017).
    """
    confusion = confusion_of(sums)
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, answered = confusion.sum(axis=-1), confusion.sum(axis=-2)
    rows = true.sum(axis=-1)
    labels = ((true + answered) > 0).sum(axis=-1)
    return {
        "accuracy": ratio(right.sum(axis=-1), rows),
        "macro_f1": ratio(ratio(2 * right, true + answered).sum(axis=-1), labels),
        "macro_recall": ratio(ratio(right, true).sum(axis=-1), labels),
        "ece": ratio(np.abs(sums[..., _CELLS:]).sum(axis=-1), rows),
    }


def ratio(part: Any, whole: Any) -> DoubleArray:
    """part ÷ whole, 0 where whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)


def resampled_sums(
    statistics: DoubleArray, *, resamples: int = RESAMPLES, seed: int = SEED
) -> DoubleArray:
    """Sums over `resamples` draws of n rows with replacement: (resamples, k) of statistics (n, k).

    The nonparametric bootstrap (Efron and Tibshirani 1993, chapter 6). The draws depend only on
    n and the seed.
    """
    n = len(statistics)
    rng = np.random.default_rng(seed)
    sums = []
    for size in _chunk_sizes(resamples, n):
        drawn = rng.integers(n, size=(size, n)) + np.arange(size)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        sums.append(times.astype(np.float64) @ statistics)
    return np.concatenate(sums)


def interval(estimate: float, resampled: DoubleArray, *, least: float, most: float) -> Interval:
    """The 95% bootstrap interval of a figure within `least` to `most`.

    Percentiles of the resampled figures, moved by the bootstrap's own estimate of its bias
    (Efron and Tibshirani 1993, chapter 10): the calibration error of a resample is on average above
    that of the sample. It always contains the estimate.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, (tail, 1 - tail)) - (resampled.mean() - estimate)
    return (
        min(estimate, max(least, float(low))),
        max(estimate, min(most, float(high))),
    )


def headline_intervals(
    figures: Mapping[str, float],
    statistics: DoubleArray,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, Interval]:
    """The interval of each headline figure; none where there is no row or no resample."""
    if not len(statistics) or not resamples:
        return {}
    drawn = headline_figures(resampled_sums(statistics, resamples=resamples, seed=seed))
    return {name: interval(figures[name], drawn[name], least=0.0, most=1.0) for name in HEADLINES}


def calibrated_ece(
    confidence: DoubleArray, *, resamples: int = RESAMPLES, seed: int = SEED
) -> float:
    """The mean ECE that a perfectly calibrated model of these confidences would show.

    ECE is never 0 on finitely many rows: with 15 bins and a thousand rows it is 0.02 to 0.03 of
    pure chance. A measured ECE below or near this figure shows no miscalibration.
    """
    n = len(confidence)
    if not n or not resamples:
        return 0.0
    rng = np.random.default_rng(seed)
    in_bin = np.zeros((n, BINS))
    in_bin[np.arange(n), bins_of(confidence)] = 1.0
    gaps = [
        ((rng.random((size, n)) < confidence) - confidence) @ in_bin
        for size in _chunk_sizes(resamples, n)
    ]
    return float(np.abs(np.concatenate(gaps)).sum(axis=1).mean() / n)


def _chunk_sizes(resamples: int, n: int) -> Iterator[int]:
    """How many resamples to hold at once, so that memory stays within a few dozen MB."""
    most = max(1, _CHUNK_VALUES // max(1, n))
    for start in range(0, resamples, most):
        yield min(most, resamples - start)
