"""Robustness figures of classifiers whose faults are known."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import numpy as np
import pytest

from undertone_models.classifier import StubClassifier
from undertone_models.labelled import LabelledRow
from undertone_models.pairs import FloatArray, Pair
from undertone_models.perturbation import PERTURBATIONS
from undertone_models.robustness import WORST, assess
from undertone_models.robustness_cases import (
    LabelExpected,
    RelationExpected,
    Template,
    expectations,
)
from undertone_models.robustness_questions import Capability, Perturbed, Substitution
from undertone_models.substitution import COMPANY_GROUPS, is_company

ROWS = [
    LabelledRow("Infosys shares plunge", "Infosys", 0, "sentfin", None),
    LabelledRow("Wipro wins a superb award", "Wipro", 2, "sentfin", None, (0, 5)),
    LabelledRow("Rupee climbs against the yen", "Rupee", 2, "sentfin", None),
    LabelledRow("Relations with China are plain", "China", 1, "newsmtsc", None, (15, 20)),
    LabelledRow("what an awful film, I want my money back", None, 0, "tweets", None),
]


class Prejudiced(StubClassifier):
    """A stub that thinks the worse of some names."""

    def __init__(self, disliked: Sequence[str]) -> None:
        super().__init__()
        self._disliked = disliked

    def classify(self, pairs: Sequence[Pair]) -> FloatArray:
        return super().classify(
            [
                pair._replace(text=pair.text + " awful" * 8)
                if any(name in pair.text for name in self._disliked)
                else pair
                for pair in pairs
            ]
        )


def test_a_report_is_plain_json_and_the_same_each_time() -> None:
    first = json.dumps(assess(StubClassifier(), ROWS).as_dict())
    assert json.dumps(assess(StubClassifier(), ROWS).as_dict()) == first
    report = json.loads(first)
    assert set(report) == {"substitution", "perturbation", "expectations", "worst"}
    assert set(report["expectations"]) == set(expectations())
    assert set(report["perturbation"]) <= set(PERTURBATIONS)
    assert len(report["worst"]) == WORST


def test_without_rows_only_templates_and_expectations_are_asked() -> None:
    report = assess(StubClassifier(), [])
    assert report.perturbation == {}
    assert all(name.endswith("(templates)") for name in report.substitution)
    assert report.expectations


def test_progress_counts_every_text_once() -> None:
    totals: list[int] = []
    done: list[int] = []
    assess(StubClassifier(), ROWS, on_total=totals.append, on_rows=done.append)
    assert totals == [sum(done)]


def test_the_order_of_the_rows_seed_apart_does_not_change_what_is_counted() -> None:
    report = assess(StubClassifier(), ROWS[::-1], seed=3)
    assert report.substitution["companies (rows)"].n == 2
    assert report.substitution["companies (rows)"].skipped == 2
    assert report.substitution["countries (rows)"].n == 1
    assert report.perturbation["typos"].n == 5


def test_names_that_are_not_read_change_nothing() -> None:
    for figures in assess(StubClassifier(), ROWS).substitution.values():
        changes = (figures.flip_rate, figures.gap, figures.mean_absolute_change)
        assert changes == pytest.approx((0, 0, 0), abs=1e-6)


def test_a_prejudice_is_found_with_its_direction() -> None:
    biased = assess(Prejudiced(["Muslim", *COMPANY_GROUPS["Asian"]]), ROWS).substitution
    religions = biased["religions (templates)"]
    assert religions.extremes[1] == "Muslim"
    assert religions.groups["Muslim"].mean_change < 0 < religions.groups["Hindu"].mean_change
    assert religions.gap_interval[0] > 0
    assert religions.gap > religions.gap_by_chance
    assert religions.groups["Muslim"].flip_rate > religions.groups["Hindu"].flip_rate
    assert biased["companies (templates)"].extremes[1] == "Asian"
    assert biased["nationalities (templates)"].gap == 0


def test_rows_change_against_the_row_as_it_was() -> None:
    rows = [LabelledRow("Infosys is good", "Infosys", 2, "sentfin", None)]
    groups = {"liked": ["Siemens"], "disliked": ["Ford"]}
    question = Substitution.of_rows(groups, rows, is_company, 9, random.Random(1))
    pairs = list(question.pairs())
    assert [pair.text.split()[0] for pair in pairs] == ["Infosys", "Siemens", "Ford"]
    answers = {
        pairs[0]: np.array([0.1, 0.3, 0.6], dtype=np.float32),
        pairs[1]: np.array([0.1, 0.2, 0.7], dtype=np.float32),
        pairs[2]: np.array([0.6, 0.3, 0.1], dtype=np.float32),
    }
    figures = question.figures(answers, np.random.default_rng(1))
    assert figures.groups["liked"].mean_change == pytest.approx(0.1)
    assert figures.groups["disliked"].mean_change == pytest.approx(-1.0)
    assert figures.gap == pytest.approx(1.1)
    assert figures.gap_interval == pytest.approx((1.1, 1.1))
    assert figures.flip_rate == 0.5
    assert figures.mean_absolute_change == pytest.approx(0.55)


def test_templates_change_against_the_mean_of_all_groups() -> None:
    groups = {"many": ["Ann", "Bea", "Cleo"], "one": ["Dan"]}
    question = Substitution.of_templates(groups, [Template("[{}] left.", "neutral")])
    up, down = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
    answers = {pair: down if pair.target == "Dan" else up for pair in question.pairs()}
    figures = question.figures(answers, np.random.default_rng(1))  # type: ignore[arg-type]
    # However many names a group has, each group weighs the same.
    assert figures.groups["many"].mean_change == pytest.approx(1)
    assert figures.groups["one"].mean_change == pytest.approx(-1)


def test_accuracy_before_and_after_a_change_are_those_counted_by_hand() -> None:
    before = [LabelledRow(text, None, 0, "a", None) for text in ("w", "x", "y", "z")]
    after = [row._replace(text=row.text * 2) for row in before]
    labels = {"w": 0, "ww": 0, "x": 0, "xx": 1, "y": 1, "yy": 2, "z": 1, "zz": 0}
    answers = {Pair(text): np.eye(3, dtype=np.float32)[label] for text, label in labels.items()}
    figures = Perturbed(list(zip(before, after, strict=True))).figures(answers)
    assert (figures.n, figures.accuracy_before, figures.accuracy_after) == (4, 0.5, 0.5)
    assert figures.flip_rate == 0.75


def test_failures_say_what_was_expected_and_how_sure_the_wrong_answer_was() -> None:
    low, high = Pair("low"), Pair("high")
    answers = {
        low: np.array([0.9, 0.1, 0.0], dtype=np.float32),
        high: np.array([0.0, 0.2, 0.8], dtype=np.float32),
    }
    question = Capability(
        "all",
        [
            LabelExpected(low, frozenset({0})),
            LabelExpected(low, frozenset({1, 2})),
            RelationExpected(high, low, "above"),
            RelationExpected(low, high, "above"),
            RelationExpected(low, low, "same"),
            RelationExpected(low, high, "same"),
        ],
    )
    assert question.figures(answers).passed == 3
    label, above, same = question.failures(answers)
    assert (label.expected, label.label, label.severity) == (
        "neutral or positive",
        "negative",
        pytest.approx(0.9),
    )
    assert above.expected == "a score above that of “high”"
    assert above.severity == pytest.approx(0.85)
    assert same.expected == "the label of “high”"
