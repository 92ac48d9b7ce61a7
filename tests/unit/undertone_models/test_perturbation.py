"""Small changes of rows: the target's words stay, and so does what the span points at."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertone_models.labelled import LabelledRow
from undertone_models.perturbation import PERTURBATIONS

WORDS = ["plain", "Shares", "fall", "10%", "straße", "@desk", "https://a.org/walking", "Émile", "."]
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
SEEDS = st.integers(0, 99)


@st.composite
def rows(draw: st.DrawFn) -> LabelledRow:
    """Rows with a span, with a target to be found, or without one."""
    head, tail, kind = draw(SENTENCES), draw(SENTENCES), draw(st.sampled_from(["span", "", None]))
    text = f"{head} Acme Widgets {tail}."
    span = (len(head) + 1, len(head) + 13) if kind == "span" else None
    return LabelledRow(text, None if kind is None else "Acme Widgets", 1, "news", None, span)


@pytest.mark.parametrize("name", PERTURBATIONS)
@settings(max_examples=30)
@given(rows(), SEEDS)
def test_the_target_stays_where_the_span_says(name: str, row: LabelledRow, seed: int) -> None:
    changed = PERTURBATIONS[name](row, random.Random(seed))
    if changed is None:
        return
    assert changed != row
    assert (changed.label, changed.source) == (row.label, row.source)
    assert (changed.target is None, changed.span is None) == (row.target is None, row.span is None)
    if row.target is not None:
        assert changed.target is not None
        assert changed.target.casefold() == row.target.casefold()
        assert changed.target in changed.text
    if changed.span:
        assert changed.text[slice(*changed.span)] == changed.target


@pytest.mark.parametrize("name", PERTURBATIONS)
@settings(max_examples=30)
@given(rows(), SEEDS)
def test_the_same_seed_makes_the_same_change(name: str, row: LabelledRow, seed: int) -> None:
    first, second = (PERTURBATIONS[name](row, random.Random(seed)) for _ in range(2))
    assert first == second


@given(rows(), SEEDS)
def test_a_typo_is_one_other_letter_in_a_plain_word(row: LabelledRow, seed: int) -> None:
    changed = PERTURBATIONS["typos"](row, random.Random(seed))
    if changed is None:
        return
    before, after = row.text.split(), changed.text.split()
    for old, new in zip(before, after, strict=True):
        differing = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
        assert len(differing) <= 1
        if differing:
            assert old not in {"@desk", "https://a.org/walking", "10%"}
            assert old[0] == new[0]


def of_text(text: str, target: str | None = None) -> LabelledRow:
    return LabelledRow(text, target, 1, "news", None)


def changed_text(name: str, row: LabelledRow) -> str | None:
    changed = PERTURBATIONS[name](row, random.Random(1))
    return changed.text if changed else None


def test_truncation_keeps_the_sentence_of_the_target() -> None:
    text = "The start was slow. Then Acme won. After that nothing more was heard of anyone at all."
    half = "The start was slow. Then Acme won. After that"
    for target, expected in [("start", half), ("Acme", half), ("anyone", None), (None, None)]:
        assert changed_text("truncated behind the target", of_text(text, target)) == expected
    late = "It was so. Then, after months of waiting, Acme won at last. The end."
    assert changed_text("truncated behind the target", of_text(late, "Acme")) == late[:-9]


def test_a_whole_message_is_halved_at_a_word() -> None:
    assert changed_text("first half of a message", of_text("one two three four")) == "one two three"
    assert changed_text("first half of a message", of_text("one")) is None
    assert changed_text("first half of a message", of_text("one two", "one")) is None


def test_letters_without_a_one_letter_capital_stay() -> None:
    assert changed_text("upper case", of_text("groß Acme", "Acme")) == "GROß ACME"
    assert changed_text("lower case", of_text("groß")) is None
