"""Paired comparisons, against known tables and as properties."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertone_models.comparison import compare, mcnemar, verdict
from undertone_models.figures import HEADLINES
from undertone_models.labelled import LabelledRow
from undertone_models.pairs import FloatArray


def answering(answers: list[int]) -> FloatArray:
    """Probabilities that are sure of these answers."""
    return np.eye(3, dtype=np.float32)[answers] * 0.7 + np.float32(0.1)


def rows(labels: list[int], source: str = "a") -> list[LabelledRow]:
    return [LabelledRow("x", None, label, source, None) for label in labels]


def test_a_known_table_has_the_known_p() -> None:
    # Two-sided exact p of 1 against 9 discordant rows: 2 · (1 + 10) / 2¹⁰.
    assert mcnemar(1, 9) == pytest.approx(22 / 1024)
    assert mcnemar(9, 1) == pytest.approx(22 / 1024)
    assert mcnemar(5, 5) == pytest.approx(1)


def test_without_a_row_that_tells_them_apart_p_is_1() -> None:
    assert mcnemar(0, 0) == 1.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=80))
def test_a_model_does_not_differ_from_itself(pairs: list[tuple[int, int]]) -> None:
    answers, labels = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    comparison = compare(answering(answers), answering(answers), rows(labels), resamples=20)
    assert comparison.p == 1.0
    assert comparison.verdict.startswith("no difference that these rows can show")
    for name in HEADLINES:
        assert comparison.figures[name].difference == 0
        assert comparison.figures[name].confidence_interval == (0, 0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=80))
def test_exchanging_the_two_changes_only_the_sign(triples: list[tuple[int, int, int]]) -> None:
    a, b, labels = ([triple[part] for triple in triples] for part in range(3))
    forth = compare(answering(a), answering(b), rows(labels), resamples=20)
    back = compare(answering(b), answering(a), rows(labels), resamples=20)
    assert forth.p == pytest.approx(back.p)
    for name in HEADLINES:
        there, here = forth.figures[name], back.figures[name]
        assert there.difference == -here.difference
        assert there.confidence_interval is not None and here.confidence_interval is not None
        low, high = there.confidence_interval
        assert low <= there.difference <= high
        assert (-high, -low) == pytest.approx(here.confidence_interval)


def test_every_source_is_compared_for_itself() -> None:
    labels = [0] * 40
    a, b = [0] * 40 + [1] * 20, [1] * 20 + [0] * 20 + [1] * 20
    both = rows(labels, "clear") + rows([1] * 20, "alike")
    comparison = compare(answering(a), answering(b), both)
    clear, alike = comparison.per_source["clear"], comparison.per_source["alike"]
    assert (clear.only_a_right, clear.only_b_right, clear.verdict) == (20, 0, "A better, p < 0.001")
    assert clear.figures["accuracy"].difference == 0.5
    assert (alike.n, alike.p) == (20, 1.0)
    assert (comparison.n, comparison.only_a_right) == (60, 20)


def test_the_verdict_names_the_better_one() -> None:
    assert verdict(9, 1, 0.0215) == "A better, p = 0.021"
    assert verdict(1, 9, 0.0004) == "B better, p < 0.001"
    assert verdict(5, 4, 1.0) == "no difference that these rows can show, p = 1.00"


def test_a_comparison_is_plain_json() -> None:
    comparison = compare(answering([0, 1]), answering([0, 2]), rows([0, 1]), resamples=10)
    plain = json.loads(json.dumps(comparison.as_dict()))
    assert {"a", "b", "difference", "confidence_interval"} == set(plain["figures"]["accuracy"])
    assert {"n", "figures", "only_a_right", "only_b_right", "p", "verdict"} == set(
        plain["per_source"]["a"]
    )
