"""Copies of a story have fingerprints that differ in few bits, other stories in many."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone.scoring.fingerprint import distance, fingerprint, normalised_words
from undertone.trends.stories import STORY_BITS

STORY = "Harbour Foods recalls 12,000 jars of baby food after glass is found, shares fall 4.5 pct"
FAR = 16

# Words that are no label, no unit and no small word.
WORDS = st.lists(st.text("bcdfghjklmnpqrstvwxz", min_size=4, max_size=8), min_size=6, max_size=30)
NUMBERS = st.integers(0, 10**9).filter(lambda number: not 1900 <= number < 2100)


@pytest.mark.parametrize(
    "copy",
    [
        f"UPDATE 2-{STORY}",
        f"REFILE-{STORY}",
        f"UPDATE 1-REFILE-{STORY}",
        f"RPT-FACTBOX-{STORY}",
        f"(Adds detail, quote) {STORY}",
        f"so true! RT @newsdesk: {STORY}",
        f"RT @newsdesk: {STORY}",
        f"RT @one: RT @two: {STORY} https://t.co/abc",
        f"{STORY} @friend",
        STORY.upper(),
        STORY.replace(",", " ").replace("4.5", "7"),
        STORY.replace("12,000", "15,500") + " - http://example.org/story?id=7",
        f"  {STORY}...",
        f"{STORY} #harbour $HRB 😡",
        f"{STORY} -sources",
        f"{STORY}: source",
        f"{STORY}--WSJ",
        f"{STORY} | Daily Paper",
        f"{STORY} - The Daily Paper",
        STORY.replace(" after glass is found", ", glass is found") + " today",
        STORY[:-6] + "…",
    ],
)
def test_a_copy_is_near(copy: str) -> None:
    assert distance(fingerprint(STORY), fingerprint(copy)) <= STORY_BITS


@pytest.mark.parametrize(
    "other",
    [
        "Harbour Foods names a new chief executive",
        "Lisbon tram line reopens after ten years",
        "Second quarter profit at Northwind Air beats forecasts on strong summer bookings",
        "Harbour Foods opens a plant in Ghent",
        "Harbour Foods",
        "recalls",
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


@given(WORDS, st.sampled_from(["UPDATE 2-", "RPT-", "RT @ann_1: ", "“@joe: ", "BREAKING: "]))
def test_what_stands_before_a_copy_leaves_the_sketch_as_it_is(words: list[str], mark: str) -> None:
    text = " ".join(words)
    assert fingerprint(mark + text) == fingerprint(text)


@given(
    WORDS, st.sampled_from([" https://t.co/x1", " @ann via @joe", " #tag $TAG", " -sources", "!"])
)
def test_what_stands_behind_a_copy_leaves_the_sketch_as_it_is(words: list[str], mark: str) -> None:
    text = " ".join(words)
    assert fingerprint(text + mark) == fingerprint(text)


@given(WORDS, NUMBERS, NUMBERS)
def test_another_number_and_another_case_leave_the_sketch_as_it_is(
    words: list[str], one: int, other: int
) -> None:
    first, *rest = words
    text, edited = (f"{first} {number} {' '.join(rest)}" for number in (one, other))
    assert fingerprint(text) == fingerprint(edited.upper())


@pytest.mark.parametrize(
    ("one", "other"),
    [("Q1", "Q3"), ("1Q", "4Q"), ("first-quarter", "second-quarter"), ("H1", "H2")],
)
def test_another_quarter_is_another_story(one: str, other: str) -> None:
    text = "Harbour Foods {} profit rises 4 pct on bread"
    assert distance(fingerprint(text.format(one)), fingerprint(text.format(other))) > STORY_BITS


def test_american_agencies_are_the_same_in_every_spelling() -> None:
    sketches = {
        fingerprint(f"{us}regulator opens inquiry into Harbour Foods")
        for us in ("", "US ", "U.S. ")
    }
    assert len(sketches) == 1


def test_a_quarter_is_the_same_however_it_is_written() -> None:
    text = "Harbour Foods {} profit rises 4 pct on bread"
    assert fingerprint(text.format("Q2")) == fingerprint(text.format("2Q"))


@given(*[st.lists(st.sampled_from(["up", "down", "now", "$HRB", "buy", "it"]), max_size=3)] * 2)
def test_short_texts_are_copies_of_their_equals_alone(one: list[str], other: list[str]) -> None:
    near = distance(fingerprint(" ".join(one)), fingerprint(" ".join(other))) <= STORY_BITS
    assert near == (one == other)


@given(WORDS, WORDS, WORDS)
def test_the_end_of_a_long_text_does_not_matter(
    words: list[str], one: list[str], other: list[str]
) -> None:
    start = " ".join(words * 11)
    assert fingerprint(f"{start} {' '.join(one)}") == fingerprint(f"{start} {' '.join(other)}")


@pytest.mark.parametrize(
    "repeated", ["a", "# ", "0,", "RT @a ", "UPDATE 1-", "(", "…", "- ", "via ", "(not ", "A "]
)
def test_text_made_to_be_slow_is_read_to_its_end(repeated: str) -> None:
    # A pattern that took the square of the length would meet the time limit of the suite here.
    assert len(fingerprint(repeated * (2**18 // len(repeated)))) == 16
