"""The classifier without a model."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from undertone_models.classifier import LABELS, Pair, StubClassifier, load_classifier

TEXTS = st.lists(st.text(max_size=60), min_size=1, max_size=20)


def label_of(text: str) -> str:
    (row,) = StubClassifier().classify([Pair(text)])
    return LABELS[int(row.argmax())]


def test_words_decide() -> None:
    assert label_of("Shares plunge after recall") == "negative"
    assert label_of("A wonderful, superb result!") == "positive"
    assert label_of("The board meets on Monday") == "neutral"
    assert label_of("") == "neutral"


@given(TEXTS)
def test_rows_sum_to_one(texts: list[str]) -> None:
    answers = StubClassifier().classify([Pair(text) for text in texts])
    assert answers.dtype == np.float32
    assert answers.shape == (len(texts), 3)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)


@given(TEXTS)
def test_the_batch_does_not_matter(texts: list[str]) -> None:
    stub = StubClassifier()
    together = stub.classify([Pair(text) for text in texts])
    alone = np.concatenate([stub.classify([Pair(text)]) for text in texts])
    assert together.tolist() == alone.tolist()


def test_no_pairs_give_no_rows() -> None:
    assert StubClassifier().classify([]).shape == (0, 3)


def test_a_slow_device_can_be_played() -> None:
    slept: list[float] = []
    slow = StubClassifier(delay_seconds=0.5, sleep=slept.append)
    slow.classify([Pair("good"), Pair("bad")])
    assert slept == [0.5]


def test_it_is_loaded_by_name() -> None:
    assert load_classifier("stub").name == "stub@1"
