"""Stories: near-identical messages are one story, however often they are copied."""

from __future__ import annotations

from array import array

from numpy import bitwise_count, frombuffer, uint64

# Two 64-bit sketches that differ in at most this many bits are one story: the most
# at which benchmarks/stories.py merges no more than one other story in fifty.
STORY_BITS = 5
# One author is at most this many voices an hour about a subject; the rest count as copies, so
# that one account cannot raise an alert.
STORIES_PER_AUTHOR_HOUR = 3
# A copy that comes later than this is a story again.
STORY_HOURS = 25
# Later than any hour.
NEVER_HOUR = 1 << 62
# Up to here a loop is faster than numpy, which costs about 2 µs to call and then 1 ns a sketch.
_FEW = 20


class StoryIndex:
    """Sketches of the stories of one subject, by the hour in which each was first seen.

    Every sketch is compared, in one vectorised pass: 2 µs for a thousand, 80 µs for a hundred
    thousand. Tables of bands of bits, which compare fewer, take several times the memory of the
    16 bytes a story here.
    """

    __slots__ = ("_by_hour", "_oldest_hour", "_sketches")

    def __init__(self) -> None:
        self._sketches = array("Q")
        self._by_hour: dict[int, array[int]] = {}
        self._oldest_hour = NEVER_HOUR

    def is_copy(self, fingerprint: int) -> bool:
        """Whether a story with a near-identical sketch is known."""
        sketches = self._sketches
        if len(sketches) > _FEW:
            # An array cannot grow while numpy looks at it: no view outlives this call. min would
            # take a microsecond more than argmin.
            unlike = bitwise_count(frombuffer(sketches, uint64) ^ uint64(fingerprint))
            return bool(unlike[unlike.argmin()] <= STORY_BITS)
        for sketch in sketches:  # noqa: SIM110 - a generator costs half as much again
            if (sketch ^ fingerprint).bit_count() <= STORY_BITS:
                return True
        return False

    def add(self, hour: int, fingerprint: int) -> None:
        """Remember a new story."""
        self._sketches.append(fingerprint)
        known = self._by_hour.get(hour)
        if known is None:
            known = self._by_hour[hour] = array("Q")
            self._oldest_hour = min(self._oldest_hour, hour)
        known.append(fingerprint)

    def of_hour(self, hour: int) -> list[int]:
        """The sketches first seen in one hour, in the order in which they were added."""
        known = self._by_hour.get(hour)
        return known.tolist() if known else []

    def drop_before(self, hour: int) -> None:
        """Forget stories first seen before `hour`; the rest is copied, at a nanosecond a story."""
        if self._oldest_hour >= hour:
            return
        self._by_hour = {number: kept for number, kept in self._by_hour.items() if number >= hour}
        self._oldest_hour = min(self._by_hour, default=NEVER_HOUR)
        self._sketches = array("Q", b"".join(self._by_hour.values()))
