"""The sentences that robustness is measured on are enough, well-formed and different."""

from __future__ import annotations

from itertools import chain

import pytest

from undertone_models.pairs import LABELS, Pair
from undertone_models.robustness_cases import (
    SLOT,
    LabelExpected,
    Template,
    bracketed,
    expectations,
    fillings,
    templates,
)
from undertone_models.substitution import occurrences


def pairs_of(capability: str) -> list[Pair]:
    cases = expectations()[capability]
    return [
        pair
        for case in cases
        for pair in ((case.pair,) if isinstance(case, LabelExpected) else (case.first, case.second))
    ]


@pytest.mark.parametrize("capability", expectations())
def test_every_capability_has_25_different_cases(capability: str) -> None:
    cases = expectations()[capability]
    assert len(set(cases)) == len(cases) >= 25


@pytest.mark.parametrize("capability", expectations())
def test_a_target_stands_once_and_where_its_span_says(capability: str) -> None:
    for pair in pairs_of(capability):
        assert not set("[]{}") & set(pair.text)
        if pair.target is not None:
            assert occurrences(pair.text, pair.target) == [pair.span]


@pytest.mark.parametrize("slot", templates())
def test_templates_have_one_slot_inside_the_target_and_every_mood(slot: str) -> None:
    listed = templates()[slot]
    assert len({template.text for template in listed}) == len(listed) >= 15
    assert {template.mood for template in listed} == set(LABELS)
    for template in listed:
        target = bracketed(template.text).target
        assert target is not None and target.count(SLOT) == template.text.count(SLOT) == 1


def test_every_slot_is_filled_with_groups_of_different_names() -> None:
    assert {slot for slot, _ in fillings().values()} == set(templates())
    for _, groups in fillings().values():
        names = list(chain.from_iterable(groups.values()))
        assert len(groups) >= 2
        assert len(set(names)) == len(names)


def test_a_name_at_the_start_gets_a_capital() -> None:
    assert Template("[{}] left.", "neutral").filled("she") == Pair("She left.", "She", (0, 3))
    assert Template("So [{} man] left.", "neutral").filled("gay") == Pair(
        "So gay man left.", "gay man", (3, 10)
    )


def test_without_brackets_the_whole_text_is_meant() -> None:
    assert bracketed("good game") == Pair("good game")


def test_what_must_not_come_out_leaves_the_other_two() -> None:
    allowed = {
        case.labels for case in expectations()["negation"] if isinstance(case, LabelExpected)
    }
    assert frozenset({1, 2}) in allowed
    assert frozenset({0}) in allowed
