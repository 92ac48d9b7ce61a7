"""Calibration: it finds what spoilt the probabilities, and changes no answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertone_models.calibration import Calibration, fit_calibration, fit_temperature
from undertone_models.labelled import LabelledRow
from undertone_models.pairs import FloatArray


def labelled(labels: list[int]) -> list[LabelledRow]:
    return [LabelledRow("x", None, label, "a", None) for label in labels]


def truthful(n: int, seed: int = 3) -> tuple[FloatArray, list[int]]:
    """Probabilities that mean what they say, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet((0.3, 0.3, 0.3), size=n)
    labels = (rng.random((n, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    return probabilities.astype(np.float32), labels.tolist()


@given(st.floats(min_value=0.5, max_value=2.5))
def test_the_temperature_that_spoilt_the_probabilities_is_found(temperature: float) -> None:
    # Three in four answers are right, and probability ¾ says so; sharpen it by the temperature.
    fair = np.log(np.array([0.75, 0.125, 0.125])) * temperature
    spoilt = np.exp(fair) / np.exp(fair).sum()
    labels = [0] * 6 + [1, 2]
    probabilities = np.tile(spoilt.astype(np.float32), (len(labels), 1))
    fitted = fit_temperature(probabilities, labelled(labels))
    assert math.isclose(fitted, temperature, rel_tol=0.01)


def test_label_smoothing_is_found_and_taken_off() -> None:
    fair, labels = truthful(4000)
    smoothed = (fair * 0.9 + 0.1 / 3).astype(np.float32)
    calibration = fit_calibration(smoothed, labelled(labels))
    assert calibration.smoothing == pytest.approx(0.1 / 3, abs=0.012)
    with_temperature = Calibration(fit_temperature(smoothed, labelled(labels)))
    error, error_of_temperature = (
        np.abs(each.apply(smoothed) - fair).mean() for each in (calibration, with_temperature)
    )
    assert error < error_of_temperature / 2


def test_probabilities_without_smoothing_get_a_temperature_alone() -> None:
    fair, labels = truthful(4000)
    sharpened = fair**1.5
    sharpened /= sharpened.sum(axis=1, keepdims=True)
    calibration = fit_calibration(sharpened, labelled(labels))
    assert calibration.smoothing == 0
    assert calibration.temperature == pytest.approx(1.5, rel=0.1)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(*[st.floats(0.001, 1)] * 3), min_size=1, max_size=20),
    st.floats(0.3, 4),
    st.sampled_from([0.0, 0.01, 0.03, 0.1]),
)
def test_no_calibration_changes_an_answer(
    weights: list[tuple[float, float, float]], temperature: float, smoothing: float
) -> None:
    raw = np.array(weights, dtype=np.float32)
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    calibrated = Calibration(temperature, smoothing).apply(probabilities)
    best = np.take_along_axis(calibrated, probabilities.argmax(axis=1)[:, None], axis=1)[:, 0]
    assert (best >= calibrated.max(axis=1) - 1e-6).all()
    assert calibrated.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_no_calibration_is_the_identity() -> None:
    fair, _ = truthful(50)
    assert Calibration().apply(fair) == pytest.approx(fair, abs=1e-6)


def test_less_smoothing_comes_ever_nearer_to_the_temperature_alone() -> None:
    fair = (truthful(50)[0] + 0.05) / 1.15
    plain = Calibration(1.3).apply(fair)
    apart = [np.abs(Calibration(1.3, c).apply(fair) - plain).max() for c in (0.02, 0.005, 0.001)]
    assert apart[0] > apart[1] > apart[2]
    assert apart[2] < 0.01
