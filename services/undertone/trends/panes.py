"""Panes: the smallest time slices, half-open, aligned to 1970 UTC."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from undertone.settings import PANE_MS


def pane_of(instant_ms: int) -> int:
    """Start of the pane that holds `instant_ms`."""
    return instant_ms - instant_ms % PANE_MS


@dataclass(slots=True)
class Counts:
    """What happened in a span of time. All integers, so that sums are exact in any order.

    `mentions` counts messages, copies included. `stories` and the three classes count stories.
    `score_millis` is the sum of 1000 × (p_positive − p_negative) over scored stories, and
    `score_square_millis` that of its square ÷ 1000.
    """

    mentions: int = 0
    stories: int = 0
    negative: int = 0
    neutral: int = 0
    positive: int = 0
    unscored: int = 0
    score_millis: int = 0
    score_square_millis: int = 0

    @property
    def scored(self) -> int:
        """Stories that the classifier read."""
        return self.negative + self.neutral + self.positive

    @property
    def mean_score(self) -> float | None:
        """Mean of p_positive − p_negative over scored stories, −1 to 1."""
        return self.score_millis / 1000 / self.scored if self.scored else None

    @property
    def negative_share(self) -> float | None:
        """Negative stories ÷ scored stories."""
        return self.negative / self.scored if self.scored else None

    def add(self, other: Counts) -> None:
        """Add in place."""
        self.mentions += other.mentions
        self.stories += other.stories
        self.negative += other.negative
        self.neutral += other.neutral
        self.positive += other.positive
        self.unscored += other.unscored
        self.score_millis += other.score_millis
        self.score_square_millis += other.score_square_millis

    def to_tuple(self) -> tuple[int, ...]:
        """The counts in the order of their fields."""
        return (
            self.mentions,
            self.stories,
            self.negative,
            self.neutral,
            self.positive,
            self.unscored,
            self.score_millis,
            self.score_square_millis,
        )


# Counts in one integer, so that the many sums of a window cost an addition each: the fields as
# bits of their own, the only one that may be negative on top.
_FIELDS = Struct("<6IQq")
_STORIES_BIT = 32
_FIELD_MASK = 0xFFFF_FFFF


def pack(counts: Counts) -> int:
    """Counts as one integer; sums and differences of such are those of the counts."""
    *numbers, score, square = counts.to_tuple()
    return int.from_bytes(_FIELDS.pack(*numbers, square, score), "little", signed=True)


def unpack(packed: int) -> tuple[int, ...]:
    """The counts in the order of their fields."""
    *numbers, square, score = _FIELDS.unpack(packed.to_bytes(_FIELDS.size, "little", signed=True))
    return (*numbers, score, square)


def stories_in(packed: int) -> int:
    """How many stories packed counts hold."""
    return packed >> _STORIES_BIT & _FIELD_MASK
