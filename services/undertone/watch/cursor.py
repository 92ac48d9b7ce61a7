"""The cursor of a mentions partition: the next offset to apply, and what log it belongs to.

The cursor, not the group's committed offset, is the truth about what has been applied: around a
rebalance records arrive twice, out of order, or not at all (design §4.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson

from undertone.errors import StateError

REBUILD = (
    "Stop every watch worker, run `undertone watch --rebuild` (with the same --config, --prefix "
    "and --bootstrap), and start them again: they read the mentions from their beginning."
)
# The offsets of the old topic and of the new one stand in the mentions log alike.
BEGIN_ANEW = (
    "Begin anew under another --prefix; or stop score and watch, delete {mentions}, run "
    "`undertone watch --rebuild`, and start them again."
)

CompleteUntil = Mapping[str, Mapping[int, int]]


class Verdict(Enum):
    """What to do with a record that stands at some offset."""

    APPLY = "apply"
    DUPLICATE = "duplicate"  # applied before: acknowledge it and go on
    AHEAD = "ahead"  # something before it is missing: leave it, and go back to the cursor


def judge(cursor_offset: int, record_offset: int) -> Verdict:
    """Compare a record's offset with the next offset to apply."""
    if record_offset == cursor_offset:
        return Verdict.APPLY
    return Verdict.DUPLICATE if record_offset < cursor_offset else Verdict.AHEAD


@dataclass(frozen=True)
class Log:
    """The log that the state is about: ids tell a recreated topic from the one before."""

    mentions: str
    topic_id: str
    partitions: int
    raw_topic_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cursor:
    """The next offset to apply in one mentions partition, with the clock's map up to there.

    `complete_until` holds milliseconds since 1970 by raw topic and partition, `expected` the
    number of partitions of each raw topic.
    """

    offset: int
    topic_id: str
    partitions: int
    raw_topic_ids: Mapping[str, str]
    complete_until: CompleteUntil = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def at(
        cls,
        offset: int,
        log: Log,
        complete_until: CompleteUntil | None = None,
        expected: Mapping[str, int] | None = None,
    ) -> Cursor:
        """The cursor of this log at `offset`."""
        return cls(
            offset,
            log.topic_id,
            log.partitions,
            dict(log.raw_topic_ids),
            {topic: dict(times) for topic, times in (complete_until or {}).items()},
            dict(expected or {}),
        )

    def to_json(self) -> bytes:
        """The cursor as it stands in the changelog."""
        return orjson.dumps(
            {
                "schema": "cursor/1",
                "offset": self.offset,
                "topic_id": self.topic_id,
                "partitions": self.partitions,
                "raw_topic_ids": self.raw_topic_ids,
                "complete_until": self.complete_until,
                "expected": self.expected,
            },
            option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS,
        )

    @classmethod
    def from_json(cls, data: bytes) -> Cursor:
        """Read a cursor. Raises StateError where it is none."""
        try:
            document: dict[str, Any] = orjson.loads(data)
            return cls(
                offset=int(document["offset"]),
                topic_id=str(document["topic_id"]),
                partitions=int(document["partitions"]),
                raw_topic_ids=dict(document["raw_topic_ids"]),
                complete_until={
                    topic: {int(partition): int(instant) for partition, instant in times.items()}
                    for topic, times in document["complete_until"].items()
                },
                expected={topic: int(count) for topic, count in document["expected"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(
                f"a cursor in the watcher's changelog cannot be read: {error!r}", hint=REBUILD
            ) from None

    def verify(self, log: Log, partition: int, begin: int, end: int) -> None:
        """Check that this cursor belongs to `log`, whose partition holds offsets [begin, end).

        Raises StateError that says what has changed and names the command to run.
        """
        where = f"{log.mentions}, partition {partition}"
        if self.topic_id != log.topic_id:
            raise StateError(
                f"{where}: the topic was recreated since the watcher's state was written",
                hint=REBUILD,
            )
        if self.partitions != log.partitions:
            raise StateError(
                f"{where}: the watcher's state was written for {self.partitions} partitions, "
                f"the topic has {log.partitions}",
                hint=REBUILD,
            )
        for topic, topic_id in log.raw_topic_ids.items():
            if self.raw_topic_ids.get(topic, topic_id) != topic_id:
                raise StateError(
                    f"{topic}: the topic was recreated since the watcher's state was written",
                    hint=BEGIN_ANEW.format(mentions=log.mentions),
                )
        verify_range(self.offset, log, partition, begin, end)


def verify_range(offset: int, log: Log, partition: int, begin: int, end: int) -> None:
    """Check that a cursor's offset lies in the log [begin, end]. Raises StateError."""
    if not begin <= offset <= end:
        raise StateError(
            f"{log.mentions}, partition {partition}: the watcher stands at offset {offset}, "
            f"the log holds offsets {begin} to {end}",
            hint=REBUILD,
        )
