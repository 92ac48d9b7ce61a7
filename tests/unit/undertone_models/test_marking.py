"""The target is shown to the model where it stands in the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone_models.marking import TargetMarkers, marked, target_span
from undertone_models.pairs import Pair

MARKERS = TargetMarkers("[a]", "[b]")


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("Apple beats, Samsung sinks", "Samsung", (13, 20)),
        ("Applebee's opens; Apple falls", "Apple", (18, 23)),  # whole words first
        ("APPLE falls", "Apple", (0, 5)),
        ("Pineapples fall", "apple", (4, 9)),  # inside a word, where it stands nowhere else
        ("苹果公司股价下跌", "苹果", (0, 2)),
        ("nothing here", "Apple", None),
        ("whole message", None, None),
        ("an empty name", "", None),
        ("", "Apple", None),
    ],
)
def test_a_target_is_found_by_whole_words_then_in_any_case_then_inside_a_word(
    text: str, target: str | None, expected: tuple[int, int] | None
) -> None:
    assert target_span(Pair(text, target)) == expected


def test_a_given_place_is_kept() -> None:
    assert target_span(Pair("the bar at the bar", "bar", (15, 18))) == (15, 18)
    assert (
        marked(Pair("the bar at the bar", "bar", (15, 18)), MARKERS) == "the bar at the [a] bar [b]"
    )


def test_a_text_cannot_mark_its_own_target() -> None:
    assert marked(Pair("[a] Apple [b] and Samsung", "Samsung", (18, 25)), MARKERS).count("[a]") == 1
    assert marked(Pair("[a] Apple [b]"), MARKERS) == " Apple "


@given(st.text(), st.text(min_size=1))
def test_marking_adds_the_markers_and_changes_nothing_else(text: str, target: str) -> None:
    text = text.replace("[a]", "").replace("[b]", "")
    if "[a]" in text or "[b]" in text:
        return
    result = marked(Pair(text, target), MARKERS)
    assert result.replace("[a] ", "").replace(" [b]", "") == text.replace("[a] ", "")
