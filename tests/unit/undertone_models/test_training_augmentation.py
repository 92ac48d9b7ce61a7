"""Augmentation: what it changes, what it must leave, and that it is the same in each run."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone_models.augmentation import augmented, with_typos
from undertone_models.labelled import LabelledRow
from undertone_models.substitution import COMPANIES, COUNTRIES
from undertone_models.training_settings import Augmentation

ROW = LabelledRow(
    "Shares of Siemens tumbled, writes @reporter at https://example.org/a today",
    "Siemens",
    0,
    "finance",
    "train",
    (10, 17),
)

shares = st.floats(0, 1)
augmentations = st.builds(
    Augmentation, swap_targets=shares, casing=shares, typos=shares, drop_links=shares
)


def draw(seed: int = 1) -> random.Random:
    return random.Random(seed)


def test_nothing_changes_by_default() -> None:
    assert not Augmentation().is_used
    assert augmented(ROW, Augmentation(), draw()) is ROW


@given(augmentations, st.integers(), st.booleans())
def test_the_target_stands_where_the_span_says_and_the_label_stays(
    augment: Augmentation, seed: int, spanned: bool
) -> None:
    row = ROW if spanned else ROW._replace(span=None)
    made = augmented(row, augment, draw(seed))
    assert (made.label, made.source, made.split) == (row.label, row.source, row.split)
    assert made.target is not None and made.target in made.text
    if spanned:
        assert made.span is not None
        assert made.text[slice(*made.span)] == made.target


@given(augmentations, st.integers())
def test_the_same_draw_makes_the_same_row(augment: Augmentation, seed: int) -> None:
    assert augmented(ROW, augment, draw(seed)) == augmented(ROW, augment, draw(seed))


@given(st.text(), st.integers())
def test_any_text_can_be_changed_and_is_not_emptied(text: str, seed: int) -> None:
    row = LabelledRow(text + "x", None, 1, "any", None)
    everything = Augmentation(swap_targets=1, casing=1, typos=1, drop_links=1)
    assert augmented(row, everything, draw(seed)).text.strip()


def test_a_company_becomes_another_company_and_a_country_another_country() -> None:
    augment = Augmentation(swap_targets=1)
    assert augmented(ROW, augment, draw()).target in COMPANIES
    country = LabelledRow("Peru grows", "Peru", 2, "news", None)
    assert augmented(country, augment, draw()).target in COUNTRIES
    dish = LabelledRow("The soup was cold", "soup", 0, "meals", None)
    assert augmented(dish, augment, draw()) is dish


def test_links_and_names_of_users_are_dropped() -> None:
    made = augmented(ROW, Augmentation(drop_links=1), draw())
    assert made.text == "Shares of Siemens tumbled, writes at today"


def test_a_text_of_a_link_alone_stays() -> None:
    row = LabelledRow("https://example.org", None, 1, "any", None)
    assert augmented(row, Augmentation(drop_links=1), draw()) is row


@pytest.mark.parametrize("seed", range(5))
def test_typos_are_few_and_leave_first_letters(seed: int) -> None:
    text = "Shares tumbled after the company reported unexpectedly weak results yesterday"
    words = with_typos(text, draw(seed)).split()
    changed = [(old, new) for old, new in zip(text.split(), words, strict=True) if old != new]
    assert 1 <= len(changed) <= 2
    assert all(old[0] == new[0] and abs(len(old) - len(new)) <= 1 for old, new in changed)


def test_casing_changes_text_and_target_together() -> None:
    made = augmented(ROW, Augmentation(casing=1), draw())
    assert made.text in (ROW.text.lower(), ROW.text.upper())
    assert made.target in ("siemens", "SIEMENS")
