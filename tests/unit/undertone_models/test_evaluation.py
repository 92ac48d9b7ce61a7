"""Figures, against values computed by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from undertone_models.classifier import StubClassifier
from undertone_models.evaluation import evaluate, expected_calibration_error, measure
from undertone_models.labelled import LabelledRow
from undertone_models.pairs import FloatArray

# Six rows: truth 0 0 1 1 2 2, answers 0 1 1 1 2 0.
TRUTH = [0, 0, 1, 1, 2, 2]
ANSWERS = [0, 1, 1, 1, 2, 0]
ROWS = [
    LabelledRow("x", None, label, "a" if number < 2 else "b", None)
    for number, label in enumerate(TRUTH)
]


def sure(answers: list[int], confidence: float) -> FloatArray:
    """Probabilities that put `confidence` on each answer."""
    rest = (1 - confidence) / 2
    array = np.full((len(answers), 3), rest, dtype=np.float32)
    array[np.arange(len(answers)), answers] = confidence
    return array


def test_figures_are_those_computed_by_hand() -> None:
    result = measure(sure(ANSWERS, 0.9), ROWS)
    assert result.n == 6
    assert result.accuracy == pytest.approx(4 / 6)
    negative = result.per_class["negative"]
    assert (negative.precision, negative.recall, negative.f1, negative.n) == (0.5, 0.5, 0.5, 2)
    neutral = result.per_class["neutral"]
    assert (neutral.precision, neutral.recall) == (pytest.approx(2 / 3), 1.0)
    assert neutral.f1 == pytest.approx(0.8)
    positive = result.per_class["positive"]
    assert (positive.precision, positive.recall) == (1.0, 0.5)
    assert positive.f1 == pytest.approx(2 / 3)
    assert result.macro_recall == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert result.macro_f1 == pytest.approx((0.5 + 0.8 + 2 / 3) / 3)
    # All rows are in one bin: |4/6 − 0.9|.
    assert result.ece == pytest.approx(0.9 - 4 / 6, abs=1e-6)


def test_the_confusion_matrix_counts_rows_by_true_label_then_answer() -> None:
    confusion = measure(sure(ANSWERS, 0.9), ROWS).confusion
    assert confusion["negative"] == {"negative": 1, "neutral": 1, "positive": 0}
    assert confusion["neutral"] == {"negative": 0, "neutral": 2, "positive": 0}
    assert confusion["positive"] == {"negative": 1, "neutral": 0, "positive": 1}


def test_a_source_is_averaged_over_the_labels_that_occur_in_it() -> None:
    source = measure(sure(ANSWERS, 0.9), ROWS).per_source["a"]
    # Truth 0 0, answers 0 1: recall of negative ½, of neutral 0; positive does not occur.
    assert (source.n, source.accuracy, source.macro_recall) == (2, 0.5, 0.25)


def test_a_source_has_its_own_calibration_error() -> None:
    sources = measure(sure(ANSWERS, 0.9), ROWS).per_source
    assert sources["a"].ece == pytest.approx(0.9 - 1 / 2, abs=1e-6)
    assert sources["b"].ece == pytest.approx(0.9 - 3 / 4, abs=1e-6)


def test_a_labels_calibration_error_is_over_the_bins_of_its_own_probability() -> None:
    # The neutral answers say 0.9 thrice (truth: 2 of 3), the rest says 0.05 (truth: 0 of 3).
    neutral = measure(sure(ANSWERS, 0.9), ROWS).per_class["neutral"]
    assert neutral.ece == pytest.approx((abs(2 - 2.7) + abs(0 - 0.15)) / 6, abs=1e-6)


def test_the_reliability_bins_hold_every_row_once() -> None:
    probabilities = np.concatenate([sure(ANSWERS[:3], 0.95), sure(ANSWERS[3:], 0.45)])
    low, high = measure(probabilities, ROWS).reliability
    assert (low.n, high.n) == (3, 3)
    assert low.low <= 0.45 <= low.high
    assert low.confidence == pytest.approx(0.45)
    assert high.accuracy == pytest.approx(2 / 3)


def test_the_calibration_error_weighs_bins_by_their_rows() -> None:
    probabilities = np.concatenate([sure([0, 0, 0], 0.95), sure([0], 0.45)])
    truth = np.array([0, 0, 1, 0])
    expected = (3 * abs(2 / 3 - 0.95) + 1 * abs(1 - 0.45)) / 4
    assert expected_calibration_error(probabilities, truth) == pytest.approx(expected, abs=1e-6)


def test_full_confidence_has_a_bin() -> None:
    assert expected_calibration_error(sure([1], 1.0), np.array([1])) == pytest.approx(0)


def test_no_rows_have_figures_of_zero_and_no_intervals() -> None:
    result = measure(sure([], 0.9), [])
    assert (result.n, result.accuracy, result.ece, result.confidence_intervals) == (0, 0, 0, {})


def test_evaluating_tells_its_progress_and_speed() -> None:
    ticks = iter([10.0, 12.0])
    done: list[int] = []
    rows = [LabelledRow("good", None, 2, "a", None)] * 1500
    result = evaluate(
        StubClassifier(), rows, clock=lambda: next(ticks), on_rows=done.append, resamples=10
    )
    assert result.messages_per_second == 750.0
    assert result.accuracy == 1.0
    assert sum(done) == 1500


def test_an_evaluation_is_plain_json_of_the_promised_fields() -> None:
    figures = json.loads(json.dumps(measure(sure(ANSWERS, 0.9), ROWS, resamples=10).as_dict()))
    assert {
        "n", "accuracy", "macro_f1", "macro_recall", "ece", "per_class", "per_source",
        "messages_per_second", "confidence_intervals", "confusion", "reliability",
    } <= set(figures)  # fmt: skip
    assert set(figures["confidence_intervals"]) == {"accuracy", "macro_f1", "macro_recall", "ece"}
    assert {"n", "accuracy", "macro_f1", "macro_recall", "ece"} <= set(figures["per_source"]["a"])
