"""A subject that is new on the watchlist gets its past from the raw topics (`undertone fill-in`).

The raw log is read up to its present end through the scoring and watch cores, and what the watch
core then remembers of the subject is written into the watcher's changelog. That state says which
raw offsets it has applied, as any subject's does: so mentions of what was read here, which the
scorers may have written meanwhile or write later, are skipped, and what comes after is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import orjson
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from undertone.errors import BrokerError, StateError, UsageError
from undertone.records import Mention
from undertone.replay.sources import RawTopicSource
from undertone.replay.steps import Advance, Counts, Step
from undertone.settings import Settings
from undertone.transport.clients import admin_client, begins_of, consumer, ends_of, producer
from undertone.transport.codec import partition_of
from undertone.transport.reading import read_to_end
from undertone.transport.topics import TopicNames
from undertone.watch.changelog import (
    LARGEST_BATCH_BYTES,
    Change,
    Entries,
    Entry,
    changelog_topic,
    merge,
    record_bytes,
    stored_state,
    through_of,
)
from undertone.watch.core import Watch, WatchConfig
from undertone.watch.rebuild import refuse_running_workers
from undertone.watch.state import HEAD
from undertone.watch.worker import open_log
from undertone.watchlist.matcher import Matcher, SubjectMatch
from undertone.watchlist.subjects import Watchlist

STEPS_A_LOOK = 500
FLUSH_SECONDS = 60.0
LINGER_MS = 60_000

Parts = dict[str, bytes | None]
Ends = Mapping[str, Mapping[int, int]]


class OnlySubjects(Matcher):
    """A watchlist's matcher that tells of some subjects alone, and of these what it always does."""

    def __init__(self, watchlist: Watchlist, subjects: Collection[str]) -> None:
        """Raises UsageError where a subject is not on the watchlist."""
        if unknown := sorted(set(subjects) - watchlist.by_id.keys()):
            raise UsageError(f"not on the watchlist: {', '.join(unknown)}")
        super().__init__(watchlist)
        self._only = frozenset(subjects)

    def match(self, text: str, title: str | None, tags: Sequence[str]) -> list[SubjectMatch]:
        """Those of the chosen subjects, by id."""
        found = super().match(text, title, tags)
        return [match for match in found if match.subject_id in self._only]


@dataclass(frozen=True)
class Past:
    """What the log holds of some subjects: the watch core's parts of each, and its mentions."""

    parts: Mapping[str, Parts]
    mentions: Mapping[str, int]


def past_of(
    steps: Iterable[Step], config: WatchConfig, on_step: Callable[[], None] = lambda: None
) -> Past:
    """Run mentions and clocks through the watch core; what it tells meanwhile is nobody's news."""
    watch, mentions = Watch(config), Counter[str]()
    for number, (_partition, record) in enumerate(steps):
        if number % STEPS_A_LOOK == 0:
            on_step()
        watch.apply(record)
        if isinstance(record, Mention):
            mentions[record.subject] += 1
    parts: dict[str, Parts] = {}
    for key, value in watch.take_changes().items():
        subject, _, name = key.partition("/")
        parts.setdefault(subject, {})[name] = value
    return Past(parts, mentions)


def changes_for(subject: str, past: Parts, before: Mapping[str, bytes], ends: Ends) -> Parts:
    """What to write of one subject, by the changelog's keys.

    `before`: its parts as the watcher has them, which go, but for where its rules stand: an alert
    of the past is not told now, and one that fires now goes on. `ends`: the raw offsets below which
    everything was read.
    """
    head = orjson.loads(past[HEAD] or b"{}")
    head["rules"] = orjson.loads(before[HEAD])["rules"] if HEAD in before else {}
    head["applied"] = {
        topic: {str(partition): end - 1 for partition, end in partitions.items() if end}
        for topic, partitions in ends.items()
    }
    parts: Parts = dict.fromkeys(before, None)
    parts |= {name: value for name, value in past.items() if value is not None}
    parts[HEAD] = orjson.dumps(head, option=orjson.OPT_SORT_KEYS)
    return {f"{subject}/{name}": value for name, value in sorted(parts.items())}


class Changelog:
    """The watcher's state while no worker runs."""

    def __init__(self, settings: Settings) -> None:
        """Read it. Raises StateError where workers run, or where it does not belong to the log."""
        self._settings, self._names = settings, TopicNames(settings.prefix)
        with admin_client(settings.kafka) as admin:
            refuse_running_workers(admin, self._names)
        self._log = open_log(settings)
        self._entries: Entries = {}
        for record in read_to_end(settings.kafka, changelog_topic(self._names)):
            entry = Entry(through_of(record.headers), record.value)
            merge(self._entries, record.partition, record.key.decode(), entry)

    def before(self, subject: str) -> tuple[int, int, dict[str, bytes]]:
        """The subject's partition, the offset that it is applied through, and its parts.

        Raises StateError where no watcher has ever worked on the partition.
        """
        partition = partition_of(subject.encode(), self._log.partitions)
        cursor, parts = stored_state(self._entries, partition)
        if cursor is None:
            raise StateError(
                f"{self._log.mentions}, partition {partition}: no watcher has worked on it yet",
                hint="Start `undertone watch` once, and stop it again.",
            )
        with closing(consumer(self._settings.kafka)) as client:
            cursor.verify(self._log, partition, *_range(client, self._log.mentions, partition))
        mine = {
            name: value
            for key, value in parts.items()
            for owner, _, name in [key.partition("/")]
            if owner == subject
        }
        return partition, cursor.offset, mine

    def write(self, partition: int, changes: Parts, through: int) -> None:
        """Append all changes of a subject as one record batch: all of them, or none."""
        size = sum(record_bytes(key, value) for key, value in changes.items())
        if size > LARGEST_BATCH_BYTES:
            raise StateError(f"the state takes {size} bytes, more than one batch may hold")
        options = {
            "linger_ms": LINGER_MS,  # until it is flushed
            "batch_size": LARGEST_BATCH_BYTES,
            "max_request_size": LARGEST_BATCH_BYTES + (1 << 20),
        }
        topic = changelog_topic(self._names)
        try:
            with closing(producer(self._settings.kafka, **options)) as client:
                futures = [
                    client.send(
                        topic,
                        value,
                        key=key.encode(),
                        partition=partition,
                        headers=Change(key, value, through).headers(),
                    )
                    for key, value in changes.items()
                ]
                client.flush(FLUSH_SECONDS)
                for future in futures:
                    future.get(FLUSH_SECONDS)
        except KafkaError as error:
            raise BrokerError(f"{topic} was not written: {error!r}") from None


def fill_in(
    settings: Settings,
    config: WatchConfig,
    subjects: Collection[str],
    source: RawTopicSource,
    *,
    replace: bool = False,
    on_look: Callable[[Advance], None] = lambda _advance: None,
) -> dict[str, int]:
    """Give subjects their past from the log; returns the mentions that each got it from.

    `source` reads these subjects alone (see OnlySubjects), up to the log's end. A subject that the
    watcher knows already is refused, unless `replace`. Raises StateError, UsageError, BrokerError.
    """
    changelog = Changelog(settings)
    before = {subject: changelog.before(subject) for subject in sorted(subjects)}
    if known := [subject for subject, (_, _, parts) in before.items() if parts and not replace]:
        raise UsageError(
            f"the watcher remembers {', '.join(known)} already",
            hint="--replace puts what the raw topics hold in the place of what it remembers.",
        )
    with closing(source.steps(Counts())) as steps:
        past = past_of(steps, config, lambda: on_look(source.advance()))
    for subject, (partition, through, parts) in before.items():
        if subject in past.parts:
            changes = changes_for(subject, past.parts[subject], parts, source.ends)
            changelog.write(partition, changes, through)
    return {subject: past.mentions.get(subject, 0) for subject in before}


def _range(client: KafkaConsumer, topic: str, partition: int) -> tuple[int, int]:
    place = TopicPartition(topic, partition)
    return begins_of(client, [place])[place], ends_of(client, [place])[place]
