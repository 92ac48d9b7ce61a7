"""What a training's model reads in each epoch, and what it is to learn of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")

from tokenizers import Tokenizer  # noqa: E402

from toy_training import SETTINGS, toy_rows, write_toy_base  # noqa: E402
from undertone_models.encoding import PairEncoder  # noqa: E402
from undertone_models.near_words import NearWords  # noqa: E402
from undertone_models.pairs import FloatArray, Pair  # noqa: E402
from undertone_models.stub_classifier import StubClassifier  # noqa: E402
from undertone_models.training_rows import TrainingRows  # noqa: E402
from undertone_models.training_settings import Augmentation, TrainingSettings  # noqa: E402

ROWS = toy_rows(600, 1)
ANSWER = (0.5, 0.25, 0.25)


class Teacher(StubClassifier):
    """Gives one answer to all, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Pair] = []

    def classify(self, pairs: Sequence[Pair]) -> FloatArray:
        self.asked += pairs
        return np.array([ANSWER] * len(pairs), dtype=np.float32)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.from_file(
        str(Path(write_toy_base(tmp_path_factory.mktemp("base"))) / "tokenizer.json")
    )


def training_rows(
    tokenizer: Tokenizer, settings: TrainingSettings, teacher: Teacher | None
) -> TrainingRows:
    near = None
    if settings.augment.near_words:
        torch.manual_seed(1)
        near = NearWords(tokenizer, torch.randn(tokenizer.get_vocab_size(), 8))
    encoder = PairEncoder(tokenizer, settings.max_tokens)
    return TrainingRows(ROWS, encoder, settings, teacher=teacher, near_words=near)


def everything(data: TrainingRows, start: int = 0) -> list[tuple[Any, ...]]:
    return [
        (batch.pairs, batch.targets.tolist(), batch.weights.tolist())
        for batch in data.epoch(1, start)
    ]


def test_without_a_teacher_the_labels_are_learnt(tokenizer: Tokenizer) -> None:
    batches = list(training_rows(tokenizer, SETTINGS, None).epoch(0))
    assert sum(len(batch.pairs) for batch in batches) == len(ROWS)
    learnt = torch.cat([batch.targets for batch in batches])
    assert sorted(learnt.tolist()) == sorted(row.label for row in ROWS)


def test_a_teachers_answers_are_mixed_with_the_labels_but_near_words_have_them_alone(
    tokenizer: Tokenizer,
) -> None:
    settings = replace(
        SETTINGS, distillation_weight=0.5, augment=Augmentation(near_words=0.5, typos=0.1)
    )
    teacher = Teacher()
    batches = list(training_rows(tokenizer, settings, teacher).epoch(0))
    learnt = torch.cat([batch.targets for batch in batches])
    alone = (learnt == torch.tensor(ANSWER)).all(dim=1)
    mixed = torch.eye(3) / 2 + torch.tensor(ANSWER) / 2
    assert all(any(torch.equal(row, each) for each in mixed) for row in learnt[~alone])
    # Half of the rows are picked; of the four words of one, none may fall to be replaced.
    assert 0.25 < alone.float().mean() < 0.45
    original = {(row.text, row.target) for row in ROWS}
    new = [(pair.text, pair.target) not in original for pair in teacher.asked]
    assert sum(new) >= alone.sum() / 2  # the others are rows too, in so small a language
    assert len(teacher.asked) == len(ROWS)


@pytest.mark.parametrize("start", [1, 63, 64, 70])
def test_an_epoch_begun_in_the_middle_is_the_rest_of_it(tokenizer: Tokenizer, start: int) -> None:
    settings = replace(
        SETTINGS, distillation_weight=0.5, augment=Augmentation(near_words=0.5, swap_targets=0.5)
    )
    whole = everything(training_rows(tokenizer, settings, Teacher()))
    teacher = Teacher()
    assert everything(training_rows(tokenizer, settings, teacher), start) == whole[start:]
    assert len(teacher.asked) == (len(ROWS) if start < 64 else len(ROWS) - 64 * 8)
