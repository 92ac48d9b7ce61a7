"""How steady a classifier is: other names, small changes of the text, sentences with known answers.

Three parts, all seeded: *substitution* asks whether an answer depends on who is named
(perturbation sensitivity, Prabhakaran et al. 2019), *perturbation* whether typos, letter case and
the like change it, *expectations* whether it has what CheckList (Ribeiro et al. 2020) calls
capabilities.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from typing import Any

import numpy as np

from undertone_models.classifier import SentimentClassifier
from undertone_models.evaluation import CHUNK_ROWS
from undertone_models.labelled import LabelledRow
from undertone_models.pairs import FloatArray, Pair
from undertone_models.perturbation import PERTURBATIONS
from undertone_models.robustness_cases import Groups, expectations, fillings, templates
from undertone_models.robustness_questions import (
    Answers,
    Capability,
    CapabilityFigures,
    Failure,
    PerturbationFigures,
    Perturbed,
    Question,
    Substitution,
    SubstitutionFigures,
)
from undertone_models.substitution import COMPANY_GROUPS, COUNTRY_GROUPS, is_company, is_country

ROWS_PER_QUESTION = 500
WORST = 20


@dataclass(frozen=True)
class RobustnessReport:
    """Figures by comparison, perturbation and capability; `worst` failures, the worst first."""

    substitution: dict[str, SubstitutionFigures]
    perturbation: dict[str, PerturbationFigures]
    expectations: dict[str, CapabilityFigures]
    worst: list[Failure]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as `undertone evaluate --robustness --json` prints them."""
        return asdict(self)


def assess(
    classifier: SentimentClassifier,
    rows: Sequence[LabelledRow],
    *,
    seed: int = 17,
    on_rows: Callable[[int], None] | None = None,
    on_total: Callable[[int], None] | None = None,
) -> RobustnessReport:
    """Ask everything of a classifier; without rows, what needs none.

    `on_total` is told how many texts there are before the first is classified, `on_rows` how many
    each chunk held: about 5,000 texts, and up to 10,000 more with rows.
    """
    sampled = _shuffled(rows, seed)
    substitutions = {**_template_substitutions(), **_row_substitutions(sampled, seed)}
    perturbations = _perturbations(sampled, seed)
    capabilities = [Capability(name, cases) for name, cases in expectations().items()]
    questions: list[Question] = [*substitutions.values(), *perturbations.values(), *capabilities]
    pairs = chain.from_iterable(question.pairs() for question in questions)
    answers = _answers(classifier, pairs, on_rows, on_total)
    failures = [failure for question in capabilities for failure in question.failures(answers)]
    return RobustnessReport(
        substitution={
            name: question.figures(answers, np.random.default_rng(seed))
            for name, question in substitutions.items()
        },
        perturbation={name: question.figures(answers) for name, question in perturbations.items()},
        expectations={question.name: question.figures(answers) for question in capabilities},
        worst=sorted(failures, key=lambda each: (-each.severity, each.text))[:WORST],
    )


def _template_substitutions() -> dict[str, Substitution]:
    by_slot = templates()
    return {
        f"{name} (templates)": Substitution.of_templates(groups, by_slot[slot])
        for name, (slot, groups) in fillings().items()
    }


def _row_substitutions(rows: Sequence[LabelledRow], seed: int) -> dict[str, Substitution]:
    """Companies for companies, countries for countries; neither where no row names one."""
    kinds: dict[str, tuple[Callable[[LabelledRow], bool], Groups]] = {
        "companies (rows)": (is_company, COMPANY_GROUPS),
        "countries (rows)": (is_country, COUNTRY_GROUPS),
    }
    with_target = [row for row in rows if row.target is not None]
    found = {
        name: Substitution.of_rows(
            groups, with_target, is_kind, ROWS_PER_QUESTION, random.Random(f"{seed}/{name}")
        )
        for name, (is_kind, groups) in kinds.items()
    }
    return {name: question for name, question in found.items() if question.sentences}


def _perturbations(rows: Sequence[LabelledRow], seed: int) -> dict[str, Perturbed]:
    """Each perturbation of the first rows to which it applies."""
    questions = {}
    for name, perturb in PERTURBATIONS.items():
        random_ = random.Random(f"{seed}/{name}")
        changed: list[tuple[LabelledRow, LabelledRow]] = []
        for row in rows:
            if len(changed) == ROWS_PER_QUESTION:
                break
            after = perturb(row, random_)
            if after is not None:
                changed.append((row, after))
        if changed:
            questions[name] = Perturbed(changed)
    return questions


def _shuffled(rows: Sequence[LabelledRow], seed: int) -> list[LabelledRow]:
    """All rows in a seeded order that takes one of each source in turn, so that each counts."""
    by_source: dict[str, list[LabelledRow]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    for source, of_source in by_source.items():
        random.Random(f"{seed}/{source}").shuffle(of_source)
    turns = zip_longest(*(by_source[source] for source in sorted(by_source)))
    return [row for turn in turns for row in turn if row is not None]


def _answers(
    classifier: SentimentClassifier,
    pairs: Iterable[Pair],
    on_rows: Callable[[int], None] | None,
    on_total: Callable[[int], None] | None,
) -> Answers:
    """Classify each different pair once."""
    different = list(dict.fromkeys(pairs))
    if on_total:
        on_total(len(different))
    answers: dict[Pair, FloatArray] = {}
    for start in range(0, len(different), CHUNK_ROWS):
        chunk = different[start : start + CHUNK_ROWS]
        answers.update(zip(chunk, classifier.classify(chunk), strict=True))
        if on_rows:
            on_rows(len(chunk))
    return answers
