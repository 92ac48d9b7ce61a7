"""Dead letters as their topic holds them: each once, filtered, and which may be sent again. Pure.

Kept letters are told apart by (topic, partition, offset, stage): a stage that met a record again
after a restart wrote the same letter again. A letter that was retried is written once more, with a
header that says where its record went: readers take it for a repetition.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from undertone.errors import RecordError, UsageError
from undertone.records import DeadLetter
from undertone.settings import RawTopic
from undertone.transport.dead_letters import is_cut

RETRIED_HEADER = "undertone-retried-as"


class Place(NamedTuple):
    """Where a record stands, written `topic/partition/offset`."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read `topic/partition/offset`. Raises UsageError."""
        parts = text.rsplit("/", 2)
        try:
            return cls(parts[0], int(parts[1]), int(parts[2]))
        except (IndexError, ValueError):
            raise UsageError(
                f"{text!r}: expected a place such as undertone.raw.news/0/1234",
                hint="`undertone dead-letters list` shows the places.",
            ) from None

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True)
class KeptLetter:
    """A dead letter, when its record arrived (ms), and where retries of it went."""

    letter: DeadLetter
    arrived_ms: int
    retried_as: tuple[Place, ...] = ()

    @property
    def place(self) -> Place:
        """Where its record stands."""
        return Place(self.letter.topic, self.letter.partition, self.letter.offset)

    @property
    def value(self) -> bytes:
        """The record's bytes, or as many as were kept. Raises RecordError where it is no base64."""
        try:
            return base64.b64decode(self.letter.raw, validate=True)
        except binascii.Error as error:
            raise RecordError(f"{self.place}: raw: is not base64: {error}") from None


class BoxRecord(NamedTuple):
    """A record of the dead letters' topic."""

    value: bytes | None
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True)
class LetterFilter:
    """Which letters are wanted; None wants all. `places` empty wants all places."""

    stage: str | None = None
    topic: str | None = None
    since_ms: int | None = None
    places: frozenset[Place] = frozenset()

    def wants(self, kept: KeptLetter) -> bool:
        """Whether a letter is wanted."""
        letter = kept.letter
        return (
            (self.stage is None or letter.stage == self.stage)
            and (self.topic is None or letter.topic == self.topic)
            and (self.since_ms is None or letter.at >= self.since_ms)
            and (not self.places or kept.place in self.places)
        )


def kept_letters(records: Iterable[BoxRecord]) -> list[KeptLetter]:
    """Every letter once, in the order of the topic, with its retries."""
    found: dict[tuple[Place, str], KeptLetter] = {}
    for record in records:
        if record.value is None:
            continue
        kept = KeptLetter(DeadLetter.from_json(record.value), record.timestamp_ms)
        known = found.setdefault((kept.place, kept.letter.stage), kept)
        retries = tuple(
            Place.parse(value.decode()) for name, value in record.headers if name == RETRIED_HEADER
        )
        if retries:
            found[kept.place, kept.letter.stage] = replace(
                known, retried_as=tuple(dict.fromkeys((*known.retried_as, *retries)))
            )
    return list(found.values())


class Skipped(NamedTuple):
    """A letter that is not sent again, and why."""

    kept: KeptLetter
    reason: str


class RetryPlan(NamedTuple):
    """What is sent again, each record once, and what is not."""

    send: list[KeptLetter]
    skip: list[Skipped]


def plan_retry(
    letters: Iterable[KeptLetter], raw_topics: Iterable[RawTopic], *, again: bool = False
) -> RetryPlan:
    """Which records go to their raw topic once more; `again` also those that did before."""
    topics = {topic.name: topic for topic in raw_topics}
    plan = RetryPlan([], [])
    planned: set[Place] = set()
    for kept in letters:
        reason = _reason_to_skip(kept, topics.get(kept.letter.topic))
        if reason is None and kept.retried_as and not again:
            reason = f"was retried before, as {kept.retried_as[-1]} (--again sends it once more)"
        if reason is None and kept.place in planned:
            reason = "the same record as another letter"
        if reason is None:
            planned.add(kept.place)
            plan.send.append(kept)
        else:
            plan.skip.append(Skipped(kept, reason))
    return plan


def _reason_to_skip(kept: KeptLetter, topic: RawTopic | None) -> str | None:
    letter = kept.letter
    if letter.stage == "watch":
        return "is a mention, not a raw record: `undertone watch --rebuild` reads it again"
    if topic is None:
        return f"{letter.topic} is no raw topic of these settings"
    if letter.partition >= topic.partitions:
        return f"{letter.topic} has no partition {letter.partition}"
    if is_cut(letter):
        return "only its beginning is kept here; the whole record stands at its place"
    try:
        return None if kept.value else "is empty"
    except RecordError as error:
        return str(error)
