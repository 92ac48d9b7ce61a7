"""From pairs to token ids and padded arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tiny_models import VOCABULARY, tiny_tokenizer
from undertone_models.calibration import Calibration
from undertone_models.encoding import PairEncoder, padded, probabilities
from undertone_models.pairs import EncodedPair, Pair


def encoder(max_tokens: int = 16) -> PairEncoder:
    return PairEncoder(tiny_tokenizer(), max_tokens)


def words(pair: EncodedPair) -> list[str]:
    return [VOCABULARY[number] for number in pair.ids]


def test_the_target_is_the_second_segment() -> None:
    (pair,) = encoder().encode([Pair("the phone is good", "phone")])
    assert words(pair) == [
        "[CLS]", "the", "phone", "is", "good", "[SEP]", "phone", "[SEP]",
    ]  # fmt: skip
    assert pair.type_ids == [0] * 6 + [1] * 2


def test_a_text_without_target_is_one_segment() -> None:
    (pair,) = encoder().encode([Pair("the phone")])
    assert words(pair) == ["[CLS]", "the", "phone", "[SEP]"]
    assert pair.type_ids == [0] * 4


def test_a_long_text_loses_its_end_and_keeps_its_target() -> None:
    (pair,) = encoder(10).encode([Pair("good " * 50, "the bank")])
    assert words(pair) == ["[CLS]", *["good"] * 5, "[SEP]", "the", "bank", "[SEP]"]


@given(st.text(max_size=200), st.none() | st.text(min_size=1, max_size=200))
def test_no_pair_is_longer_than_asked_for(text: str, target: str | None) -> None:
    (pair,) = encoder(12).encode([Pair(text, target)])
    assert 2 <= len(pair.ids) <= 12
    assert len(pair.type_ids) == len(pair.ids)


def test_padding_is_masked_and_reaches_the_multiple_asked_for() -> None:
    pairs = [EncodedPair([7, 8, 9], [0, 0, 1]), EncodedPair([5] * 9, [0] * 9)]
    assert padded(pairs, pad_id=4).ids.shape == (2, 9)
    batch = padded(pairs, pad_id=4, multiple=8)
    assert batch.ids.shape == batch.mask.shape == batch.type_ids.shape == (2, 16)
    assert batch.ids[0].tolist() == [7, 8, 9] + [4] * 13
    assert batch.mask.sum(axis=1).tolist() == [3, 9]
    assert batch.type_ids[0, :4].tolist() == [0, 0, 1, 0]


def test_probabilities_follow_the_labels_and_the_calibration() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1]], dtype=np.float32))
    answers = probabilities(logits, ((2,), (0,), (1,)), Calibration())
    np.testing.assert_allclose(answers, [[0.1, 0.7, 0.2]], rtol=1e-5)
    hot = probabilities(logits, ((0,), (1,), (2,)), Calibration(1e6))
    np.testing.assert_allclose(hot, 1 / 3, atol=1e-5)
    huge = probabilities(
        np.array([[1e4, 0, -1e4]], dtype=np.float32), ((0,), (1,), (2,)), Calibration()
    )
    np.testing.assert_allclose(huge, [[1, 0, 0]], atol=1e-6)


def test_a_model_of_two_labels_is_never_neutral_and_finer_labels_add_up() -> None:
    two = probabilities(
        np.log(np.array([[0.7, 0.3]], dtype=np.float32)), ((1,), (), (0,)), Calibration()
    )
    np.testing.assert_allclose(two, [[0.3, 0, 0.7]], rtol=1e-5)
    stars = np.log(np.array([[0.3, 0.25, 0.2, 0.15, 0.1]], dtype=np.float32))
    five = probabilities(stars, ((0, 1), (2,), (3, 4)), Calibration())
    np.testing.assert_allclose(five, [[0.55, 0.2, 0.25]], rtol=1e-5)
