"""Headlines made up to teach direction."""

from __future__ import annotations

import re
from collections import Counter

from undertone_models.directions import made_up_rows
from undertone_models.robustness_cases import LabelExpected, expectations


def test_the_same_seed_makes_the_same_rows_and_another_seed_others() -> None:
    assert made_up_rows(50, 1) == made_up_rows(50, 1)
    assert made_up_rows(50, 1) != made_up_rows(50, 2)


def test_each_row_names_its_target_and_no_label_dominates() -> None:
    rows = made_up_rows(3000, 3)
    assert all(row.target and row.target in row.text for row in rows)
    assert all("{" not in row.text for row in rows)
    shares = Counter(row.label for row in rows)
    assert min(shares.values()) > 200 and max(shares.values()) < 1600


def test_less_than_feared_is_good_and_less_than_hoped_is_bad() -> None:
    for row in made_up_rows(5000, 4):
        if re.search(r" (feared|dreaded) ", row.text):
            assert row.label == 2, row.text
        if re.search(r" (hoped|promised|planned) ", row.text):
            assert row.label == 0, row.text


def test_no_row_is_a_case_that_robustness_is_measured_on() -> None:
    asked = set()
    for case in (case for cases in expectations().values() for case in cases):
        pairs = [case.pair] if isinstance(case, LabelExpected) else [case.first, case.second]
        asked |= {skeleton(pair.text, pair.target) for pair in pairs}
    made = {skeleton(row.text, row.target) for row in made_up_rows(20_000, 5)}
    assert not asked & made


def skeleton(text: str, target: str | None) -> str:
    """A sentence without its target's name, its case and its punctuation."""
    named = text.replace(target, "X") if target else text
    return " ".join(re.findall(r"[a-z]+", named.lower()))
