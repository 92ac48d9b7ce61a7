"""Stories: copies are recognised, and forgotten with their hour."""

from __future__ import annotations

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
