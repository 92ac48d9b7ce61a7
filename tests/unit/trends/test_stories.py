"""Stories: copies are recognised, and forgotten with their hour."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from undertone.trends.stories import STORY_BITS, StoryIndex


def test_a_sketch_within_a_few_bits_is_a_copy_and_one_further_off_is_not() -> None:
    stories = StoryIndex()
    assert not stories.is_copy(0)
    stories.add(1, 0)
    assert stories.is_copy((1 << STORY_BITS) - 1)
    assert not stories.is_copy((1 << (STORY_BITS + 1)) - 1)


def test_stories_are_forgotten_with_their_hour() -> None:
    stories = StoryIndex()
    stories.add(1, 0)
    stories.add(2, (1 << 64) - 1)
    stories.drop_before(2)
    assert not stories.is_copy(0)
    assert stories.is_copy((1 << 64) - 1)


@given(st.integers(0, 300), st.integers(0, 2**64 - 1), st.integers(0, 20), st.integers(0, 10**6))
def test_few_and_many_stories_are_compared_alike(
    known: int, fingerprint: int, flipped: int, seed: int
) -> None:
    draw, stories = random.Random(seed), StoryIndex()
    near = fingerprint
    for bit in draw.sample(range(64), flipped):
        near ^= 1 << bit
    sketches = [draw.getrandbits(64) for _ in range(known)]
    sketches.insert(draw.randrange(known + 1), near)
    for sketch in sketches:
        stories.add(1, sketch)
    expected = any((sketch ^ fingerprint).bit_count() <= STORY_BITS for sketch in sketches)
    assert stories.is_copy(fingerprint) == expected


def test_the_sketches_of_an_hour_come_in_their_order_and_leave_with_it() -> None:
    stories = StoryIndex()
    for hour, sketch in [(1, 7), (2, 2**64 - 1), (1, 5)]:
        stories.add(hour, sketch)
    assert [stories.of_hour(hour) for hour in (1, 2, 3)] == [[7, 5], [2**64 - 1], []]
    stories.drop_before(2)
    assert [stories.of_hour(hour) for hour in (1, 2)] == [[], [2**64 - 1]]


def stories_in(sketches: list[int]) -> int:
    stories, found = StoryIndex(), 0
    for sketch in sketches:
        if not stories.is_copy(sketch):
            stories.add(1, sketch)
            found += 1
    return found


@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 10**6))
def test_stories_that_lie_apart_are_as_many_in_whatever_order_their_copies_come(
    count: int, copies: int, seed: int
) -> None:
    draw = random.Random(seed)
    originals = [draw.getrandbits(64) for _ in range(count)]
    # Copies of one story are at most 2 × 2 bits apart; random stories never come that near.
    sketches = [
        one ^ 1 << draw.randrange(64) ^ 1 << draw.randrange(64)
        for one in originals
        for _ in range(copies)
    ]
    in_order = stories_in(sketches)
    draw.shuffle(sketches)
    assert stories_in(sketches) == in_order == count


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "drop"]), st.integers(0, 5), st.integers(0, 2**64 - 1))
    )
)
def test_an_index_knows_what_a_plain_list_knows(steps: list[tuple[str, int, int]]) -> None:
    stories, plain = StoryIndex(), list[tuple[int, int]]()
    for step, hour, sketch in steps:
        if step == "add":
            stories.add(hour, sketch)
            plain.append((hour, sketch))
        else:
            stories.drop_before(hour)
            plain = [known for known in plain if known[0] >= hour]
        for one in range(6):
            assert stories.of_hour(one) == [kept for at, kept in plain if at == one]
        near = any((kept ^ sketch).bit_count() <= STORY_BITS for _, kept in plain)
        assert stories.is_copy(sketch) == near
