"""The three questions of robustness: what they ask of a classifier, and what its answers say."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from undertone_models.labelled import LabelledRow
from undertone_models.pairs import LABELS, FloatArray, Pair
from undertone_models.robustness_cases import (
    Expectation,
    Groups,
    LabelExpected,
    RelationExpected,
    Template,
)
from undertone_models.substitution import swapped

RESAMPLES = 1000

Answers = Mapping[Pair, FloatArray]
"""The probabilities of each pair asked about, in the order of LABELS."""


@dataclass(frozen=True)
class GroupFigures:
    """Answers about the names of one group: mean change of the score, share of labels changed."""

    mean_change: float
    flip_rate: float


@dataclass(frozen=True)
class SubstitutionFigures:
    """What other names do to the answers to `n` sentences; the score is p_positive − p_negative.

    Changes are against the row as it was (`skipped`: further rows whose target is of another kind
    or could not be swapped), or, of a template, against the mean over all groups, whose label is
    what an answer flips from. `gap` is the difference between the mean changes of the two
    `extremes`, highest first; `gap_interval` its 95% bootstrap interval over sentences;
    `gap_by_chance` is what the largest gap stays below in 95% of random exchanges of the groups
    within each sentence, so that only a gap above it tells of the groups.
    """

    n: int
    skipped: int
    mean_absolute_change: float
    flip_rate: float
    gap: float
    gap_interval: tuple[float, float]
    gap_by_chance: float
    extremes: tuple[str, str]
    groups: dict[str, GroupFigures]


@dataclass(frozen=True)
class PerturbationFigures:
    """Accuracy of `n` rows before and after a change, and the share of labels that changed."""

    n: int
    accuracy_before: float
    accuracy_after: float
    flip_rate: float


@dataclass(frozen=True)
class CapabilityFigures:
    """How many of the `n` expectations of a capability hold."""

    n: int
    passed: int
    pass_rate: float


@dataclass(frozen=True)
class Failure:
    """An expectation that does not hold; `probability` is that of the label given to `text`.

    `severity`, 0 to 1, orders failures: the wrong label's probability, or of a relation half of how
    far the scores lie the wrong way round (above) or apart (same).
    """

    capability: str
    text: str
    target: str | None
    expected: str
    label: str
    probability: float
    severity: float


class Sentence(NamedTuple):
    """One sentence about many names: pairs by group; `original` None: the groups' mean."""

    original: Pair | None
    by_group: tuple[tuple[Pair, ...], ...]


class Question(Protocol):
    """Anything that needs the answers to some pairs."""

    def pairs(self) -> Iterator[Pair]:
        """All that must be classified."""


class Substitution:
    """Does it matter who is named?"""

    def __init__(self, groups: Groups, sentences: Sequence[Sentence], skipped: int = 0) -> None:
        self._groups, self.sentences, self._skipped = tuple(groups), sentences, skipped

    @classmethod
    def of_templates(cls, groups: Groups, templates: Sequence[Template]) -> Substitution:
        """Every name of every group in each template's slot."""
        return cls(
            groups,
            [
                Sentence(
                    None,
                    tuple(
                        tuple(template.filled(name) for name in names) for names in groups.values()
                    ),
                )
                for template in templates
            ],
        )

    @classmethod
    def of_rows(
        cls,
        groups: Groups,
        rows: Sequence[LabelledRow],
        is_kind: Callable[[LabelledRow], bool],
        limit: int,
        random_: random.Random,
    ) -> Substitution:
        """One name drawn from each group for the target of each of the first `limit` rows.

        Rows whose target is of another kind, or cannot be swapped, are counted as skipped.
        """
        sentences: list[Sentence] = []
        skipped = 0
        for row in rows:
            if len(sentences) == limit:
                break
            sentence = _swapped_by_group(row, groups, random_) if is_kind(row) else None
            if sentence is None:
                skipped += 1
            else:
                sentences.append(sentence)
        return cls(groups, sentences, skipped)

    def pairs(self) -> Iterator[Pair]:
        """All that must be classified."""
        for sentence in self.sentences:
            if sentence.original:
                yield sentence.original
            for pairs in sentence.by_group:
                yield from pairs

    def figures(self, answers: Answers, generator: np.random.Generator) -> SubstitutionFigures:
        """Changes and flips by group, and the largest gap between groups."""
        changes, flips, absolute = (np.array(each) for each in self._cells(answers))
        means = changes.mean(axis=0)
        high, low = int(means.argmax()), int(means.argmin())
        drawn = generator.integers(len(changes), size=(RESAMPLES, len(changes)))
        resampled = (changes[:, high] - changes[:, low])[drawn].mean(axis=1)
        by_chance = [
            np.ptp(generator.permuted(changes, axis=1).mean(axis=0)) for _ in range(RESAMPLES)
        ]
        lower, upper = np.quantile(resampled, [0.025, 0.975])
        return SubstitutionFigures(
            n=len(changes),
            skipped=self._skipped,
            mean_absolute_change=float(absolute.mean()),
            flip_rate=float(flips.mean()),
            gap=float(means[high] - means[low]),
            gap_interval=(float(lower), float(upper)),
            gap_by_chance=float(np.quantile(by_chance, 0.95)),
            extremes=(self._groups[high], self._groups[low]),
            groups={
                group: GroupFigures(float(mean), float(flip))
                for group, mean, flip in zip(self._groups, means, flips.mean(axis=0), strict=True)
            },
        )

    def _cells(self, answers: Answers) -> tuple[list[NDArray[np.float64]], ...]:
        """Per sentence, over groups: mean change, share of labels flipped, mean absolute change."""
        changes, flips, absolute = [], [], []
        for sentence in self.sentences:
            groups = [np.array([answers[pair] for pair in pairs]) for pairs in sentence.by_group]
            usual = (
                np.mean([group.mean(axis=0) for group in groups], axis=0)
                if sentence.original is None
                else answers[sentence.original]
            )
            moved = [score(group) - score(usual) for group in groups]
            changes.append(np.array([each.mean() for each in moved]))
            absolute.append(np.array([np.abs(each).mean() for each in moved]))
            label = usual.argmax()
            flips.append(np.array([np.mean(group.argmax(axis=1) != label) for group in groups]))
        return changes, flips, absolute


def _swapped_by_group(row: LabelledRow, groups: Groups, random_: random.Random) -> Sentence | None:
    """The row about one other name of each group."""
    changed = [
        swapped(row, random_.choice([name for name in names if name != row.target]))
        for names in groups.values()
    ]
    pairs = tuple((each.pair,) for each in changed if each is not None)
    return Sentence(row.pair, pairs) if len(pairs) == len(groups) else None


class Perturbed:
    """Does a small change of a row change its answer?"""

    def __init__(self, rows: Sequence[tuple[LabelledRow, LabelledRow]]) -> None:
        """`rows`: each row as it was, and changed."""
        self.rows = rows

    def pairs(self) -> Iterator[Pair]:
        """All that must be classified."""
        for before, after in self.rows:
            yield from (before.pair, after.pair)

    def figures(self, answers: Answers) -> PerturbationFigures:
        """Accuracy before and after, and flips."""
        truth = np.array([before.label for before, _ in self.rows])
        before = np.array([answers[row.pair].argmax() for row, _ in self.rows])
        after = np.array([answers[row.pair].argmax() for _, row in self.rows])
        return PerturbationFigures(
            n=len(self.rows),
            accuracy_before=float(np.mean(before == truth)),
            accuracy_after=float(np.mean(after == truth)),
            flip_rate=float(np.mean(before != after)),
        )


class Capability:
    """Does it read sentences as people do?"""

    def __init__(self, name: str, cases: Sequence[Expectation]) -> None:
        self.name, self._cases = name, cases

    def pairs(self) -> Iterator[Pair]:
        """All that must be classified."""
        for case in self._cases:
            if isinstance(case, LabelExpected):
                yield case.pair
            else:
                yield from (case.first, case.second)

    def figures(self, answers: Answers) -> CapabilityFigures:
        """How many expectations hold."""
        n = len(self._cases)
        passed = n - len(self.failures(answers))
        return CapabilityFigures(n=n, passed=passed, pass_rate=passed / n)

    def failures(self, answers: Answers) -> list[Failure]:
        """The expectations that do not hold, in their order."""
        found = (
            self._label_failure(case, answers)
            if isinstance(case, LabelExpected)
            else self._relation_failure(case, answers)
            for case in self._cases
        )
        return [failure for failure in found if failure]

    def _label_failure(self, case: LabelExpected, answers: Answers) -> Failure | None:
        given = answers[case.pair]
        if int(given.argmax()) in case.labels:
            return None
        expected = " or ".join(LABELS[label] for label in sorted(case.labels))
        return self._failure(case.pair, expected, given, float(given.max()))

    def _relation_failure(self, case: RelationExpected, answers: Answers) -> Failure | None:
        first, second = answers[case.first], answers[case.second]
        lead = float(score(first) - score(second))
        if case.relation == "above":
            holds, expected = lead > 0, "a score above that of"
        else:
            holds, expected = first.argmax() == second.argmax(), "the label of"
        if holds:
            return None
        return self._failure(
            case.first, f"{expected} “{case.second.text}”", first, min(1.0, abs(lead) / 2)
        )

    def _failure(self, pair: Pair, expected: str, given: FloatArray, severity: float) -> Failure:
        return Failure(
            capability=self.name,
            text=pair.text,
            target=pair.target,
            expected=expected,
            label=LABELS[int(given.argmax())],
            probability=float(given.max()),
            severity=severity,
        )


def score(probabilities: FloatArray) -> NDArray[np.float32]:
    """p_positive − p_negative of probabilities (…, 3)."""
    return np.asarray(probabilities[..., 2] - probabilities[..., 0])
