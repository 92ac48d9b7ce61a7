"""What a replay's sources give to the watchers: mentions, and how far the clock has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from undertone.records import Mention, MentionStatus, Progress

VIRTUAL = "replay"


class Step(NamedTuple):
    """One record for the watcher of one mentions partition (0 where there is but one)."""

    partition: int
    record: Mention | Progress


class Advance(NamedTuple):
    """How far a source has been read, in units of its own, for a progress bar."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Span:
    """Which arrivals are wanted: `[from_ms, until_ms)`, and those of a warm-up before them.

    None is an open end; without a beginning there is no warm-up.
    """

    from_ms: int | None = None
    until_ms: int | None = None
    warm_up_ms: int = 0

    @property
    def start_ms(self) -> int | None:
        """The first arrival to read."""
        return None if self.from_ms is None else self.from_ms - self.warm_up_ms

    def counts(self, at_ms: int) -> bool:
        """Whether an arrival lies in the range itself."""
        return self.from_ms is None or at_ms >= self.from_ms


@dataclass(slots=True)
class Counts:
    """What became of the messages of the range, the warm-up left out.

    `begins_at_ms` is the first arrival that was read, warm-up included; `clock_ms` says until when
    everything that arrived has been seen.
    """

    messages: int = 0
    mentions: int = 0
    unmatched: int = 0
    unscored: int = 0
    dead_letters: int = 0
    rejected: int = 0
    read: int = 0
    begins_at_ms: int | None = None
    clock_ms: int | None = None
    models: Counter[str] = field(default_factory=Counter)

    def note_mention(self, mention: Mention) -> None:
        """Count one mention of the range."""
        self.mentions += 1
        self.models[mention.model] += 1
        if mention.status is MentionStatus.UNSCORED:
            self.unscored += 1


class Source(Protocol):
    """A range of recorded history."""

    @property
    def name(self) -> str:
        """What it is, for the report."""

    @property
    def identity(self) -> str | None:
        """The same text for the same mentions, so that they can be kept; None where unknown."""

    def steps(self, counts: Counts) -> Generator[Step, None, None]:
        """Read once, in order; fills in the counts, complete at the end."""

    def advance(self) -> Advance:
        """How far `steps` has come."""


def clock_at(instant_ms: int) -> Progress:
    """All that arrived before this moment has been given: the virtual clock of a replay."""
    return Progress(expected={VIRTUAL: 1}, complete_until={VIRTUAL: {0: instant_ms}})
