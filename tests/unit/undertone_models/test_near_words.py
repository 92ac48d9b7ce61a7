"""Near words: which they are, which words they stand in for, and what is left alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")

from tokenizers import Tokenizer, models  # noqa: E402

from undertone_models.augmentation import with_near_words  # noqa: E402
from undertone_models.labelled import LabelledRow  # noqa: E402
from undertone_models.near_words import NearWords  # noqa: E402

# Two kinds of words, and what is no whole word; each kind's vectors point one way.
MOODS = ["good", "bad", "great"]
THINGS = ["profit", "loss"]
OTHERS = ["[UNK]", "##ly", "a", "7"]


def near_words(mark: str = "") -> NearWords:
    words = [*OTHERS, *(mark + word for word in [*MOODS, *THINGS])]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    vectors = [[9.0, 9.0]] * len(OTHERS)
    vectors += [[1.0, 0.01 * n] for n in range(len(MOODS))]
    vectors += [[-1.0, 0.01 * n] for n in range(len(THINGS))]
    return NearWords(tokenizer, torch.tensor(vectors))


NEAR = near_words()
KINDS = {word: kind for kind in (MOODS, THINGS) for word in kind}
texts = st.lists(
    st.sampled_from([*MOODS, *THINGS, "Good", "LOSS", "unheard", "@good", "#bad", "$loss", "x"])
).map(" ".join)


@pytest.mark.parametrize("mark", ["", "Ġ", "▁"])
def test_the_nearest_words_come_first_whatever_marks_a_words_beginning(mark: str) -> None:
    near = near_words(mark)
    assert near.of("good")[:2] == ["bad", "great"]
    assert near.of("loss")[0] == "profit"
    assert near.of("Good") == near.of("good")
    assert near.of("unheard") == near.of("ly") == near.of("7") == []


@given(texts, st.integers())
def test_only_known_words_are_replaced_and_keep_their_case(text: str, seed: int) -> None:
    changed = NEAR.replaced(text, random.Random(seed))
    assert changed == NEAR.replaced(text, random.Random(seed))
    for before, after in zip(text.split(), changed.split(), strict=True):
        if before.lower() not in KINDS:
            assert after == before
        assert after.isupper() == before.isupper()
        assert after[:1].isupper() == before[:1].isupper()


def test_about_a_quarter_of_the_words_are_replaced() -> None:
    changed = NEAR.replaced("good " * 1_000, random.Random(1)).split()
    assert 200 < sum(word != "good" for word in changed) < 300


def test_parts_of_addresses_accounts_tags_and_tickers_are_left() -> None:
    text = "@good #bad $loss example.org/great/profit www.good bad_loss"
    assert {NEAR.replaced(text, random.Random(seed)) for seed in range(50)} == {text}


@given(st.integers())
def test_the_target_stays_and_its_place_is_told_anew(seed: int) -> None:
    row = LabelledRow("great loss good good profit", "good", 0, "news", None, (11, 15))
    changed = with_near_words(row, NEAR, random.Random(seed))
    assert changed.span is not None
    start, end = changed.span
    assert changed.text[start:end] == "good"
    assert len(changed.text[:start].split()) == 2
    assert len(changed.text[end:].split()) == 2


def test_an_encoder_without_whole_words_changes_nothing() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "好": 1}, unk_token="[UNK]"))
    near = NearWords(tokenizer, torch.ones(2, 4))
    assert near.replaced("good 好 good", random.Random(1)) == "good 好 good"
