"""How a classifier's probabilities are made to mean what they say, without changing an answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from undertone_models.pairs import FloatArray

if TYPE_CHECKING:
    from undertone_models.labelled import LabelledRow

TEMPERATURES = (0.2, 5.0)
MOST_SMOOTHING = 0.1
_LEAST_SMOOTHING = 1e-4  # less is none
_KNEE = 8.0  # the subtraction bends over an eighth of the smoothing
_TINY = 1e-9


@dataclass(frozen=True)
class Calibration:
    """A monotone map of probabilities: take off the label smoothing, then apply a temperature.

    A model trained with label smoothing ε learns (1 − ε)·q + ε/3 instead of q, so its least
    probabilities stand on a floor: the surest answers are too unsure while the middling ones are
    too sure, which no temperature alone can mend. With `smoothing` c above 0, each probability p at
    temperature 1 becomes softly max(p − c, 0), precisely c/8 · ln(1 + exp(8(p − c)/c)); then comes
    p^(1/temperature), scaled to sum to 1 (Guo et al. 2017). With c = 0 it is the temperature alone.
    """

    temperature: float = 1.0
    smoothing: float = 0.0

    def apply(self, probabilities: FloatArray) -> FloatArray:
        """Calibrated probabilities (n, 3) of those at temperature 1; every answer stays."""
        logs = _log_unsmoothed(probabilities.astype(np.float64), self.smoothing)
        powers = np.exp((logs - logs.max(axis=1, keepdims=True)) / self.temperature)
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def fit_calibration(probabilities: FloatArray, rows: Sequence[LabelledRow]) -> Calibration:
    """The calibration that makes these probabilities, taken at temperature 1, likeliest.

    The smoothing stays 0 unless its likelihood pays for a second parameter (Schwarz 1978).
    """
    from scipy.optimize import minimize  # the engines read this file too, and need no scipy

    truth = _truth(rows)
    plain = Calibration(fit_temperature(probabilities, rows))
    doubles = probabilities.astype(np.float64)

    def loss(parameters: Any) -> float:
        log_temperature, share = parameters
        logs = _log_unsmoothed(doubles, MOST_SMOOTHING * share)
        return _mean_negative_log_likelihood(logs / math.exp(log_temperature), truth)

    start = (math.log(plain.temperature), 0.1)
    bounds = [tuple(math.log(value) for value in TEMPERATURES), (1e-3, 1.0)]
    best = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    without = loss((math.log(plain.temperature), 0.0))
    price = math.log(max(2, len(rows))) / (2 * max(1, len(rows)))
    smoothing = MOST_SMOOTHING * float(best.x[1])
    if best.fun + price >= without or smoothing < _LEAST_SMOOTHING:
        return plain
    return Calibration(math.exp(float(best.x[0])), smoothing)


def fit_temperature(probabilities: FloatArray, rows: Sequence[LabelledRow]) -> float:
    """The temperature that makes these probabilities, taken at temperature 1, likeliest.

    It changes no answer, only how sure the answers are (Guo et al. 2017).
    """
    from scipy.optimize import minimize_scalar

    truth = _truth(rows)
    logs = np.log(np.maximum(probabilities.astype(np.float64), _TINY))

    def loss(temperature: float) -> float:
        return _mean_negative_log_likelihood(logs / temperature, truth)

    return float(minimize_scalar(loss, bounds=TEMPERATURES, method="bounded").x)


def _truth(rows: Sequence[LabelledRow]) -> Any:
    return np.array([row.label for row in rows], dtype=np.int64)


def _log_unsmoothed(probabilities: Any, smoothing: float) -> Any:
    if smoothing > 0:
        width = smoothing / _KNEE
        probabilities = width * np.logaddexp(0.0, (probabilities - smoothing) / width)
    return np.log(np.maximum(probabilities, _TINY))


def _mean_negative_log_likelihood(scaled: Any, truth: Any) -> float:
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    normalisers = np.log(np.exp(scaled).sum(axis=1))
    return float(np.mean(normalisers - scaled[np.arange(len(truth)), truth]))
