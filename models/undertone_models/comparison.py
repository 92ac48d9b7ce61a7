"""Whether one classifier is better than another on the same rows, or the rows cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from undertone_models.evaluation import rows_by_source, truth_of
from undertone_models.figures import (
    HEADLINES,
    RESAMPLES,
    SEED,
    IntArray,
    Interval,
    headline_figures,
    interval,
    resampled_sums,
    row_statistics,
)
from undertone_models.labelled import LabelledRow
from undertone_models.pairs import FloatArray

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class FigureDifference:
    """One figure of A and of B, their difference (A − B), and its 95% paired interval."""

    a: float
    b: float
    difference: float
    confidence_interval: Interval | None  # None without rows or resamples


@dataclass(frozen=True)
class GroupComparison:
    """A and B on some rows; `p` is that of McNemar's exact test of equal accuracy."""

    n: int
    figures: dict[str, FigureDifference]
    only_a_right: int
    only_b_right: int
    p: float
    verdict: str


@dataclass(frozen=True)
class Comparison(GroupComparison):
    """A and B on all rows and on each source's."""

    per_source: dict[str, GroupComparison]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, as `undertone evaluate --json` prints them."""
        return asdict(self)


def compare(
    a: FloatArray,
    b: FloatArray,
    rows: Sequence[LabelledRow],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Compare the probabilities (n, 3) that two classifiers gave of the same rows.

    Intervals are of a paired bootstrap: both are measured on the same resampled rows (Efron and
    Tibshirani 1993; Berg-Kirkpatrick et al. 2012, who also show that a difference that is sure on
    one set need not hold on another: so every source is compared for itself).
    """
    truth = truth_of(rows)
    return Comparison(
        **vars(_compare_group(a, b, truth, resamples, seed)),
        per_source={
            source: _compare_group(a[members], b[members], truth[members], resamples, seed)
            for source, members in rows_by_source(rows).items()
        },
    )


def mcnemar(only_a_right: int, only_b_right: int) -> float:
    """The two-sided p of equal accuracy, from the rows that just one of the two has right.

    McNemar 1947, the exact form: if both are equally good, each such row is a fair coin.
    """
    discordant = only_a_right + only_b_right
    return float(binomtest(only_a_right, discordant).pvalue) if discordant else 1.0


def verdict(only_a_right: int, only_b_right: int, p: float) -> str:
    """What the test of accuracy says, in words."""
    if p >= SIGNIFICANCE:
        return f"no difference that these rows can show, p = {p:.2f}"
    better = "A" if only_a_right > only_b_right else "B"
    return f"{better} better, " + ("p < 0.001" if p < 0.001 else f"p = {p:.3f}")


def _compare_group(
    a: FloatArray, b: FloatArray, truth: IntArray, resamples: int, seed: int
) -> GroupComparison:
    a_right, b_right = a.argmax(axis=1) == truth, b.argmax(axis=1) == truth
    only_a, only_b = int(np.sum(a_right & ~b_right)), int(np.sum(b_right & ~a_right))
    p = mcnemar(only_a, only_b)
    return GroupComparison(
        n=len(truth),
        figures=_differences(a, b, truth, resamples, seed),
        only_a_right=only_a,
        only_b_right=only_b,
        p=p,
        verdict=verdict(only_a, only_b, p),
    )


def _differences(
    a: FloatArray, b: FloatArray, truth: IntArray, resamples: int, seed: int
) -> dict[str, FigureDifference]:
    statistics = [row_statistics(probabilities, truth) for probabilities in (a, b)]
    of_a, of_b = (headline_figures(rows.sum(axis=0)) for rows in statistics)
    width = statistics[0].shape[1]
    drawn_a = drawn_b = None
    if len(truth) and resamples:
        drawn = resampled_sums(np.hstack(statistics), resamples=resamples, seed=seed)
        drawn_a, drawn_b = headline_figures(drawn[:, :width]), headline_figures(drawn[:, width:])
    differences = {}
    for name in HEADLINES:
        difference = float(of_a[name] - of_b[name])
        differences[name] = FigureDifference(
            a=float(of_a[name]),
            b=float(of_b[name]),
            difference=difference,
            confidence_interval=None
            if drawn_a is None or drawn_b is None
            else interval(difference, drawn_a[name] - drawn_b[name], least=-1.0, most=1.0),
        )
    return differences
