"""History as it was scored: a mentions topic."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from kafka import TopicPartition

from undertone.errors import RecordError
from undertone.records import Mention, Progress
from undertone.replay.kafka_log import MergedLog, Offsets, bounds, partitions_of
from undertone.replay.steps import Advance, Counts, Span, Step
from undertone.settings import KafkaSettings
from undertone.transport.clients import consumer
from undertone.transport.codec import decode_watch_record

RECENT_MESSAGES = 100_000


class MentionsSource:
    """A mentions topic: each partition's records in log order for a watcher of its own, as live.

    The partitions are read side by side, by their stamps. A partition is done when its own clock
    says that nothing from before the range's end is still to come.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: str,
        span: Span,
        *,
        begin: Offsets | None = None,
        end: Offsets | None = None,
    ) -> None:
        self.name = topic
        self.identity = None  # as scored: there is nothing to read that could be kept
        self._kafka, self._topic, self._span = kafka, topic, span
        self._begin, self._end = begin, end
        self._log: MergedLog | None = None

    def steps(self, counts: Counts) -> Generator[Step, None, None]:
        """Mentions, each once, and Progress, in the order of the log; none outside the range."""
        seen, clocks = Seen(), Clocks()
        start_ms, until_ms = self._span.start_ms, self._span.until_ms
        with closing(consumer(self._kafka)) as client:
            places = partitions_of(client, [self._topic])
            ranges = bounds(client, places, start=self._begin or start_ms, end=self._end)
            self._log = log = MergedLog(client, ranges)
            for raw in log.records():
                try:
                    record = decode_watch_record(raw.value)
                except RecordError:
                    counts.dead_letters += 1
                    continue
                if isinstance(record, Progress):
                    yield Step(raw.partition, self._clamped(record))
                    clock_ms = clocks.note(raw.partition, record)
                    if clock_ms is not None and until_ms is not None and clock_ms >= until_ms:
                        log.close_partition(TopicPartition(raw.topic, raw.partition))
                elif self._wants(record) and self._count(record, seen, counts):
                    yield Step(raw.partition, record)
                counts.clock_ms = clocks.latest_ms(until_ms)

    def advance(self) -> Advance:
        """In offsets."""
        return Advance(0, 0) if self._log is None else self._log.advance()

    def _wants(self, mention: Mention) -> bool:
        start_ms, until_ms = self._span.start_ms, self._span.until_ms
        at_ms = mention.ingested_at
        return (start_ms is None or at_ms >= start_ms) and (until_ms is None or at_ms < until_ms)

    def _clamped(self, progress: Progress) -> Progress:
        """Progress that does not pass the range's end: time stands still there."""
        until_ms = self._span.until_ms
        if until_ms is None:
            return progress
        complete = {
            topic: {partition: min(at_ms, until_ms) for partition, at_ms in known.items()}
            for topic, known in progress.complete_until.items()
        }
        return progress.model_copy(update={"complete_until": complete})

    def _count(self, mention: Mention, seen: Seen, counts: Counts) -> bool:
        """Count a mention; whether it is new, and not one that a scorer has written again."""
        if counts.begins_at_ms is None or mention.ingested_at < counts.begins_at_ms:
            counts.begins_at_ms = mention.ingested_at
        if not seen.is_new_mention(mention):
            return False
        counts.read += 1
        if self._span.counts(mention.ingested_at):
            counts.messages += seen.is_new_message(mention)
            counts.note_mention(mention)
        return True


class Clocks:
    """How far each mentions partition says that everything is scored."""

    def __init__(self) -> None:
        self._known: dict[int, dict[tuple[str, int], int]] = {}
        self._clocks: dict[int, int] = {}

    def note(self, partition: int, progress: Progress) -> int | None:
        """Take note of one Progress; the partition's clock, once every raw partition has spoken."""
        known = self._known.setdefault(partition, {})
        for topic, instants in progress.complete_until.items():
            for raw_partition, at_ms in instants.items():
                place = (topic, raw_partition)
                known[place] = max(at_ms, known.get(place, at_ms))
        expected = [
            (topic, number) for topic, count in progress.expected.items() for number in range(count)
        ]
        if all(place in known for place in expected):
            self._clocks[partition] = min(known[place] for place in expected)
        return self._clocks.get(partition)

    def latest_ms(self, until_ms: int | None) -> int | None:
        """The clock of the partition that has come furthest, at most `until_ms`."""
        if not self._clocks:
            return None
        latest = max(self._clocks.values())
        return latest if until_ms is None else min(latest, until_ms)


class Seen:
    """Which mentions and messages have been counted, in memory that does not grow with history.

    A mention written again by a scorer that restarted stands behind a later one of its subject and
    raw partition; the mentions of one message stand near each other in time.
    """

    def __init__(self, recent: int = RECENT_MESSAGES) -> None:
        self._mentions: dict[tuple[str, str, int], int] = {}
        self._messages: dict[tuple[str, int, int], None] = {}
        self._recent = recent

    def is_new_mention(self, mention: Mention) -> bool:
        """Whether this one was not seen before."""
        raw = mention.raw
        key = (mention.subject, raw.topic, raw.partition)
        if raw.offset <= self._mentions.get(key, -1):
            return False
        self._mentions[key] = raw.offset
        return True

    def is_new_message(self, mention: Mention) -> bool:
        """Whether its message was not seen before, as far as is remembered."""
        raw = mention.raw
        key = (raw.topic, raw.partition, raw.offset)
        if key in self._messages:
            return False
        self._messages[key] = None
        if len(self._messages) > self._recent:
            del self._messages[next(iter(self._messages))]
        return True
