"""A range of topics read in place: no group, no commit, all partitions merged by their stamps.

A partition's stamps are raised to their predecessor's where they fall, as the services do, so the
merged order is one of time, and the same in every run.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from undertone.errors import BrokerError, TopicError, UsageError
from undertone.replay.steps import Advance
from undertone.scoring.pipeline import RawRecord
from undertone.transport.clients import begins_of, ends_of

BUFFERED_RECORDS = 4_000
POLL_MS = 200
SILENT_POLLS = 150  # 30 s without a record that should be there


@dataclass(frozen=True, slots=True)
class Offsets:
    """Offsets that a person names: one for every partition, or some by partition."""

    every: int | None = None
    by_partition: Mapping[int, int] | None = None

    def of(self, partition: int, otherwise: int) -> int:
        """The offset for one partition."""
        if self.every is not None:
            return self.every
        return (self.by_partition or {}).get(partition, otherwise)


def partitions_of(client: KafkaConsumer, topics: Sequence[str]) -> list[TopicPartition]:
    """Every partition of the topics, in order. Raises TopicError where a topic does not exist."""
    places = []
    for topic in topics:
        numbers = client.partitions_for_topic(topic)
        if not numbers:
            raise TopicError(
                f"topic {topic} does not exist",
                hint="Name a raw topic or the mentions topic of a prefix with --topic.",
            )
        places += [TopicPartition(topic, number) for number in sorted(numbers)]
    return places


def bounds(
    client: KafkaConsumer,
    places: Sequence[TopicPartition],
    *,
    start: int | Offsets | None,
    end: Offsets | None,
) -> dict[TopicPartition, tuple[int, int]]:
    """From which offset to which each partition is read; `start` is a time in ms, or offsets.

    By time, the first record that carries that time or a later one: records behind it may still
    carry earlier ones.
    """
    try:
        firsts = begins_of(client, places)
        lasts = ends_of(client, places)
        by_time: dict[TopicPartition, Any] = {}
        if isinstance(start, int):
            by_time = client.offsets_for_times(dict.fromkeys(places, max(0, start)))
    except KafkaError as error:
        raise BrokerError(f"the topics cannot be read: {type(error).__name__}: {error}") from None
    found = {}
    for place in places:
        first, last = firsts[place], lasts[place]
        begin = first
        if isinstance(start, Offsets):
            begin = start.of(place.partition, first)
        elif isinstance(start, int):
            begin = by_time[place].offset if by_time.get(place) is not None else last
        stop = last if end is None else end.of(place.partition, last)
        if begin < first or stop > last:
            wrong = begin if begin < first else stop
            raise UsageError(
                f"{place.topic}, partition {place.partition}: there is no offset {wrong}; "
                f"the log holds {first} to {last}"
            )
        found[place] = (begin, max(begin, stop))
    return found


class MergedLog:
    """Records of several partitions by (stamp, topic, partition, offset), in bounded memory."""

    def __init__(
        self, client: KafkaConsumer, ranges: Mapping[TopicPartition, tuple[int, int]]
    ) -> None:
        self._client = client
        self._ends = {place: end for place, (_begin, end) in ranges.items()}
        self._at = {place: begin for place, (begin, _end) in ranges.items()}
        self._buffers: dict[TopicPartition, deque[RawRecord]] = {place: deque() for place in ranges}
        self._greatest: dict[TopicPartition, int] = {}
        self._total = sum(end - begin for begin, end in ranges.values())
        self._done = 0
        places = [place for place, (begin, end) in ranges.items() if begin < end]
        client.assign(places)
        for place in places:
            client.seek(place, self._at[place])
        self._open = set(places)

    def advance(self) -> Advance:
        """In offsets."""
        return Advance(min(self._done, self._total), self._total)

    def close_partition(self, place: TopicPartition) -> None:
        """Read no more of a partition."""
        if place in self._open:
            self._done += self._ends[place] - self._at[place] + len(self._buffers[place])
        self._open.discard(place)
        self._buffers[place].clear()
        self._ends[place] = self._at[place]
        if place in self._client.assignment():
            self._client.pause(place)

    def records(self) -> Iterator[RawRecord]:
        """Every record of the ranges; `timestamp_ms` is the raised stamp, a tick's own time."""
        heap: list[tuple[int, str, int, int, RawRecord]] = []
        for place in sorted(self._open):
            self._push(heap, place)
        while heap:
            record = heapq.heappop(heap)[-1]
            self._done += 1
            place = TopicPartition(record.topic, record.partition)
            if place in self._open:
                yield record
                self._push(heap, place)

    def _push(
        self, heap: list[tuple[int, str, int, int, RawRecord]], place: TopicPartition
    ) -> None:
        """Put a partition's next record into the heap, reading until it has one or has ended."""
        silent = 0
        while place in self._open and not self._buffers[place]:
            if self._at[place] >= self._ends[place]:
                self.close_partition(place)
                return
            silent = 0 if self._poll(place) else silent + 1
            if silent > SILENT_POLLS:
                raise BrokerError(
                    f"{place.topic}, partition {place.partition}: the broker sends nothing from "
                    f"offset {self._at[place]} on, where the log goes on to {self._ends[place]}"
                )
        if self._buffers[place]:
            record = self._buffers[place].popleft()
            key = (record.timestamp_ms, record.topic, record.partition, record.offset)
            heapq.heappush(heap, (*key, record))

    def _poll(self, wanted: TopicPartition) -> bool:
        """Read more, of every partition that has room; whether anything moved."""
        full = [p for p in self._open if len(self._buffers[p]) >= BUFFERED_RECORDS and p != wanted]
        self._client.pause(*full)
        self._client.resume(*(self._open - set(full)))
        try:
            batches = self._client.poll(timeout_ms=POLL_MS)
            moved = False
            for place, records in batches.items():
                moved = self._take(place, records) or moved
            if wanted in self._open and wanted not in batches:
                position = self._client.position(wanted)  # past marks that are no records
                if position is not None and position > self._at[wanted]:
                    self._at[wanted], moved = position, True
        except KafkaError as error:
            raise BrokerError(
                f"{wanted.topic} cannot be read: {type(error).__name__}: {error}"
            ) from None
        return moved

    def _take(self, place: TopicPartition, records: Sequence[Any]) -> bool:
        taken = False
        for record in records:
            if place not in self._open or record.offset < self._at[place]:
                continue
            self._at[place] = record.offset + 1
            taken = True
            if record.offset >= self._ends[place]:
                continue
            raw = RawRecord(
                record.topic,
                record.partition,
                record.offset,
                record.timestamp,
                record.value,
                record.headers,
            )
            stamp = max(0, raw.stamp_ms, self._greatest.get(place, 0))
            self._greatest[place] = stamp
            self._buffers[place].append(raw._replace(timestamp_ms=stamp))
        return taken
