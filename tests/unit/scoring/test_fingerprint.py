"""Copies of a story have fingerprints that differ in few bits, other stories in many."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone.scoring.fingerprint import distance, fingerprint, normalised_words

STORY = "Harbour Foods recalls 12,000 jars of baby food after glass is found, shares fall 4.5 pct"
NEAR, FAR = 6, 16


@pytest.mark.parametrize(
    "copy",
    [
        f"UPDATE 2-{STORY}",
        f"REFILE-{STORY}",
        f"UPDATE 1-REFILE-{STORY}",
        f"RT @newsdesk: {STORY}",
        f"RT @one: RT @two: {STORY} https://t.co/abc",
        f"{STORY} @friend",
        STORY.upper(),
        STORY.replace(",", " ").replace("4.5", "7"),
        STORY.replace("12,000", "15,500") + " - http://example.org/story?id=7",
        f"  {STORY}...",
    ],
)
def test_a_copy_is_near(copy: str) -> None:
    assert distance(fingerprint(STORY), fingerprint(copy)) <= NEAR


@pytest.mark.parametrize(
    "other",
    [
        "Harbour Foods names a new chief executive",
        "Lisbon tram line reopens after ten years",
        "Second quarter profit at Northwind Air beats forecasts on strong summer bookings",
        "Harbour Foods opens a plant in Ghent",
    ],
)
def test_another_story_is_far(other: str) -> None:
    assert distance(fingerprint(STORY), fingerprint(other)) >= FAR


def test_chinese_copies_are_near_and_other_stories_far() -> None:
    story = "港口食品公司召回一万两千罐婴儿食品，因为发现了玻璃碎片，股价下跌"
    assert distance(fingerprint(story), fingerprint(f"【快讯】{story}！")) <= 12
    assert distance(fingerprint(story), fingerprint("里斯本电车线路十年后重新开放")) >= FAR


def test_words_are_normalised() -> None:
    assert normalised_words("UPDATE 2-Ｏｉｌ at $147.27, @joe: see www.x.org!") == [
        "oil",
        "at",
        "0",
        "see",
    ]
    assert normalised_words("日本銀行") == ["日本", "本銀", "銀行"]


@pytest.mark.parametrize("empty", ["", "!!!", "https://t.co/x", "@joe @ann"])
def test_a_text_without_words_has_the_empty_sketch(empty: str) -> None:
    assert fingerprint(empty) == "0" * 16


@given(st.text())
def test_any_text_has_sixteen_hex_digits(text: str) -> None:
    sketch = fingerprint(text)
    assert len(sketch) == 16
    assert int(sketch, 16) >= 0


def test_another_process_gives_the_same_sketch() -> None:
    code = f"from undertone.scoring.fingerprint import fingerprint; print(fingerprint({STORY!r}))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == fingerprint(STORY)
