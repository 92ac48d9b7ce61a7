"""Stories: near-identical messages are one story, however often they are copied."""

from __future__ import annotations

from dataclasses import dataclass, field

# Two 64-bit sketches that differ in at most this many bits are one story.
STORY_BITS = 10
# One author is at most this many voices an hour about a subject; the rest count as copies, so
# that one account cannot raise an alert.
STORIES_PER_AUTHOR_HOUR = 3


@dataclass(slots=True)
class StoryIndex:
    """Sketches of the stories of one subject, by the hour in which each was first seen."""

    hours: dict[int, list[int]] = field(default_factory=dict)

    def is_copy(self, fingerprint: int) -> bool:
        """Whether a story with a near-identical sketch is known."""
        for sketches in self.hours.values():
            for sketch in sketches:
                if (sketch ^ fingerprint).bit_count() <= STORY_BITS:
                    return True
        return False

    def add(self, hour: int, fingerprint: int) -> None:
        """Remember a new story."""
        self.hours.setdefault(hour, []).append(fingerprint)

    def drop_before(self, hour: int) -> None:
        """Forget stories first seen before `hour`."""
        for known in [known for known in self.hours if known < hour]:
            del self.hours[known]
