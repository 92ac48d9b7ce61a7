"""Names put in the place of targets: the rest of the text stays, and the span follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone_models.labelled import LabelledRow
from undertone_models.substitution import (
    COMPANIES,
    COUNTRIES,
    GIVEN_NAMES,
    is_company,
    is_country,
    occurrences,
    swapped,
)

WORDS = st.lists(st.sampled_from(["a", "plain", "Ärger", "x-ray", "42", "😀", "é"]), max_size=6)


def row(
    text: str, target: str | None, span: tuple[int, int] | None = None, source: str = "news"
) -> LabelledRow:
    return LabelledRow(text, target, 0, source, None, span)


@given(WORDS, WORDS, st.sampled_from(COMPANIES + COUNTRIES + GIVEN_NAMES))
def test_a_span_is_replaced_and_nothing_else(
    before: list[str], after: list[str], replacement: str
) -> None:
    head, tail = " ".join([*before, ""]), " ".join(["", *after])
    start = len(head)
    changed = swapped(row(f"{head}Acme{tail}", "Acme", (start, start + 4)), replacement)
    assert changed is not None
    assert changed.text == head + replacement + tail
    assert changed.target == replacement
    assert changed.span is not None
    assert changed.text[slice(*changed.span)] == replacement


@given(WORDS, WORDS, WORDS, st.sampled_from(COMPANIES))
def test_without_a_span_every_occurrence_is_replaced(
    first: list[str], second: list[str], third: list[str], replacement: str
) -> None:
    words = [*first, "Acme", *second, "Acme", *third]
    changed = swapped(row(" ".join(words), "Acme"), replacement)
    assert changed is not None
    assert changed.text == " ".join(replacement if word == "Acme" else word for word in words)
    assert (changed.target, changed.span, changed.label) == (replacement, None, 0)


@given(st.text(), st.text(), st.sampled_from(COMPANIES))
def test_swapping_there_and_back_gives_the_row(head: str, tail: str, replacement: str) -> None:
    before = row(f"{head} Acme {tail}", "Acme", (len(head) + 1, len(head) + 5))
    changed = swapped(before, replacement)
    assert changed is not None
    assert swapped(changed, "Acme") == before


@pytest.mark.parametrize(
    "given_row",
    [
        row("Shares fall", None),
        row("Shares fall", "Acme"),
        row("Acmeville floods", "Acme"),
        row("Acmeville floods", "Acme", (0, 4)),
        row("", ""),
    ],
)
def test_what_cannot_be_swapped_is_none(given_row: LabelledRow) -> None:
    assert swapped(given_row, "Siemens") is None


def test_a_name_is_found_as_a_whole_word_only() -> None:
    assert occurrences("Acme, Acme's and Acmes: $Acme", "Acme") == [(0, 4), (6, 10), (25, 29)]


@pytest.mark.parametrize(
    ("target", "source", "expected"),
    [
        ("Infosys", "sentfin", True),
        ("Tata Motors", "sentfin", True),
        ("Hargreaves Lansdown", "sentfin", True),
        ("Hargreaves Lansdown", "newsmtsc", False),
        ("Acme Holdings", "newsmtsc", True),
        ("Siemens", "mams", True),
        ("Rupee", "sentfin", False),
        ("IT stocks", "sentfin", False),
        ("China shares", "sentfin", False),
        ("Brazil", "sentfin", False),
        ("banks", "sentfin", False),
        ("World Bank", "sentfin", False),
        ("Trump's", "sentfin", False),
        (None, "sentfin", False),
    ],
)
def test_companies_are_told_by_simple_means(
    target: str | None, source: str, expected: bool
) -> None:
    assert is_company(row("x", target, source=source)) is expected


def test_countries_are_told_by_a_list() -> None:
    assert is_country(row("x", "Russia"))
    assert not is_country(row("x", "Russian"))


@pytest.mark.parametrize("names", [COMPANIES, COUNTRIES, GIVEN_NAMES])
def test_no_name_is_listed_twice(names: tuple[str, ...]) -> None:
    assert len(set(names)) == len(names)
