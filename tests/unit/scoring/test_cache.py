"""The cache remembers what was read lately, and no more than it may."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from undertone.scoring.cache import ScoreCache
from undertone_models.classifier import Pair

SCORES = (0.2, 0.3, 0.5)


def test_what_was_put_is_found() -> None:
    cache = ScoreCache("m@1", 10)
    cache.put(Pair("text", "target"), SCORES)
    assert cache.get(Pair("text", "target")) == SCORES
    assert cache.get(Pair("text", "other")) is None
    assert cache.get(Pair("text", None)) is None
    assert cache.get(Pair("text\0target", None)) is None


def test_the_pair_not_used_for_longest_makes_room() -> None:
    cache = ScoreCache("m@1", 2)
    cache.put(Pair("a"), SCORES)
    cache.put(Pair("b"), SCORES)
    cache.get(Pair("a"))
    cache.put(Pair("c"), SCORES)
    assert [cache.get(Pair(name)) is not None for name in "abc"] == [True, False, True]


def test_a_cache_of_no_entries_remembers_nothing() -> None:
    cache = ScoreCache("m@1", 0)
    cache.put(Pair("a"), SCORES)
    assert cache.get(Pair("a")) is None


@given(st.lists(st.text(max_size=3)), st.integers(min_value=1, max_value=5))
def test_it_never_outgrows_its_bound(texts: list[str], entries: int) -> None:
    cache = ScoreCache("m@1", entries)
    for text in texts:
        cache.put(Pair(text), SCORES)
        assert cache.get(Pair(text)) == SCORES
    assert len(cache) <= entries


def test_two_places_of_one_target_are_two_questions() -> None:
    cache = ScoreCache("model@1", 10)
    cache.put(Pair("a bar by the bar", "bar", (2, 5)), (0.1, 0.2, 0.7))
    assert cache.get(Pair("a bar by the bar", "bar", (13, 16))) is None
    assert cache.get(Pair("a bar by the bar", "bar")) is None
