"""What a pushed alert says of itself, for notifications."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_alerts import made_alert
from undertone.alerting.notice import annotations_of, link
from undertone.records import Evidence

URL = "https://news.example/acme"


def evidence(**changes: Any) -> Evidence:
    """A story of the alert, changed."""
    return made_alert().evidence[0].model_copy(update=changes)


def test_the_three_weightiest_stories_are_headlines() -> None:
    stories = tuple(evidence(message_id=f"m{n}", excerpt=f"Story {n}") for n in range(1, 6))
    said = annotations_of(made_alert(evidence=stories))
    assert [said[f"headline_{n}"] for n in (1, 2, 3)] == ["Story 1", "Story 2", "Story 3"]
    assert said["headline_1_url"] == URL
    assert said["headline_1_source"] == "wire, 2008-09-15T12:00:00Z"
    assert "headline_4" not in said


def test_how_unusual_it_is_stands_in_words() -> None:
    assert annotations_of(made_alert())["unusual"] == (
        "as high as in 1 of 1.8 million usual windows of 1h"
    )
    low = annotations_of(made_alert(signal="mean_score", surprise=4.0))["unusual"]
    assert low == "as low as in 1 of 10,000 usual windows of 1h"


def test_a_level_that_is_nothing_unusual_is_not_called_so() -> None:
    assert "unusual" not in annotations_of(made_alert(surprise=0.4))


def test_the_board_is_linked_where_there_is_one() -> None:
    alert = made_alert(id="a/b c")
    said = annotations_of(alert, board_url="https://board.example/u")
    assert said["board"] == "https://board.example/u/alerts/a%2Fb%20c"
    assert "board" not in annotations_of(alert)


def test_a_story_without_an_address_is_a_headline_without_one() -> None:
    for url in (None, "", "javascript:alert(1)", "ftp://files.example"):
        said = annotations_of(made_alert(evidence=(evidence(url=url),)))
        assert "headline_1" in said
        assert "headline_1_url" not in said


@pytest.mark.parametrize(
    ("url", "encoded"),
    [
        (URL, URL),
        ("https://a.example/x?a=1&b=%20c#d", "https://a.example/x?a=1&b=%20c#d"),
        ("https://a.example/(x)[y]<z>|*", "https://a.example/%28x%29%5By%5D%3Cz%3E%7C%2A"),
        ("https://a.example/\"'` \n\\", "https://a.example/%22%27%60%20%0A%5C"),
        ("https://新闻.example/头条", "https://%E6%96%B0%E9%97%BB.example/%E5%A4%B4%E6%9D%A1"),
        ("https://a.example/" + "x" * 3000, ""),
    ],
)
def test_an_address_is_encoded_for_any_markup(url: str, encoded: str) -> None:
    assert link(url) == encoded


@given(st.text())
def test_no_address_can_leave_its_link(text: str) -> None:
    assert re.fullmatch(r"[\w%/:?#@!$&+,;=.~-]*", link("https://" + text), re.ASCII)


@given(st.text(), st.text(), st.text(max_size=100))
def test_no_text_breaks_a_line(excerpt: str, source: str, name: str) -> None:
    alert = made_alert(name=name, evidence=(evidence(excerpt=excerpt, source=source),))
    for key, value in annotations_of(alert).items():
        assert key == "description" or value.isprintable()
