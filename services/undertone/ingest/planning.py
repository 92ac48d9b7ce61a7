"""What is written where, when, and with which stamp: the pure core of ingest (design §4.1).

In live time a record is written as it comes and the broker stamps it. In recorded time each record
carries its recorded arrival as its stamp, records go out in the order of arrival, and ticks tell
every raw partition how far recorded time has come.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from undertone.errors import UsageError
from undertone.ingest.readers import REJECT_TEXT_LIMIT, Reject, Row
from undertone.records import Kind, RawMessage, format_instant
from undertone.settings import RawTopic
from undertone.transport.codec import tick_headers
from undertone.transport.raw_topics import raw_partition

FUTURE_LIMIT_MS = 3_600_000  # Kafka refuses stamps further ahead of its wall clock
TICK_KEY = b"tick"  # kafka-python sends no record that has neither key nor value
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One raw record on its way to a topic: its bytes, and when it arrived (ms since 1970).

    The bytes need not be a readable message: a simulation also sends malformed ones.
    """

    at_ms: int
    value: bytes
    kind: Kind = Kind.OTHER
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class TimedRecord:
    """One record to write. Without `timestamp_ms` the broker stamps it; a tick has no value."""

    topic: str
    partition: int
    value: bytes | None
    key: bytes | None = None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    timestamp_ms: int | None = None
    message_id: str | None = None

    @property
    def is_tick(self) -> bool:
        """Whether it only tells how far recorded time has come."""
        return self.value is None


def arrival_of(message: RawMessage, *, delay_ms: int = 0) -> Arrival:
    """The raw record of a message: it arrives at `arrived_at`, else `delay_ms` after publication.

    The record's stamp tells the arrival from then on, so the value does not repeat it.
    """
    at_ms = message.arrived_at
    if at_ms is None:
        at_ms = message.published_at + delay_ms
    # What orjson returns keeps 4 KB of its buffer each; a window holds very many of them.
    value = bytes(memoryview(message.model_copy(update={"arrived_at": None}).to_json()))
    return Arrival(at_ms, value, message.kind, message.id)


def arrivals_of(
    rows: Iterable[Row | Reject],
    *,
    reject: Callable[[Reject], None],
    delay_ms: int = 0,
    from_ms: int | None = None,
    until_ms: int | None = None,
    latest_ms: int | None = None,
) -> Iterator[Arrival]:
    """Rows → the arrivals in [from_ms, until_ms), the rejects aside.

    `latest_ms` is the last stamp that Kafka takes in recorded time; None where the broker stamps.
    Arrivals that it would refuse are rejects too.
    """
    for row in rows:
        if isinstance(row, Reject):
            reject(row)
            continue
        arrival = arrival_of(row.message, delay_ms=delay_ms)
        if from_ms is not None and arrival.at_ms < from_ms:
            continue
        if until_ms is not None and arrival.at_ms >= until_ms:
            continue
        fault = _unstampable(arrival.at_ms, latest_ms)
        if fault is not None:
            reject(Reject(row.line, row.message.text[:REJECT_TEXT_LIMIT], fault, row.file))
            continue
        yield arrival


def _unstampable(at_ms: int, latest_ms: int | None) -> str | None:
    if latest_ms is None or 0 <= at_ms <= latest_ms:
        return None
    when = "before 1970" if at_ms < 0 else "more than an hour in the future"
    return f"arrives at {format_instant(at_ms)}, {when}: Kafka refuses such stamps"


def in_arrival_order(
    arrivals: Iterable[Arrival], *, window: int = 200_000, window_bytes: int = 256 << 20
) -> Iterator[Arrival]:
    """The arrivals by time; those of one moment stay in the order they came.

    What fits into the window (as many records, as many bytes of values) is sorted as a whole, so
    any file up to that size is. A longer stream passes through the window: a record that is
    further out of order than that comes out of it late, and `plan` raises its stamp.
    """
    heap: list[tuple[int, int, Arrival]] = []
    held_bytes = 0
    for sequence, arrival in enumerate(arrivals):
        heapq.heappush(heap, (arrival.at_ms, sequence, arrival))
        held_bytes += len(arrival.value)
        while len(heap) > window or held_bytes > window_bytes:
            first = heapq.heappop(heap)[2]
            held_bytes -= len(first.value)
            yield first
    while heap:
        yield heapq.heappop(heap)[2]


class Routes:
    """Which topic takes which kind of message, and which partition which record.

    A message goes to the first topic of its kind, else to the first topic; `only` sends all to one.
    Raises UsageError where `only` is not among the topics.
    """

    def __init__(self, topics: Sequence[RawTopic], *, only: str | None = None) -> None:
        self.topics = tuple(topics)
        if only is None:
            self._by_kind = {topic.kind: topic for topic in reversed(self.topics)}
            self._default = self.topics[0]
            return
        named = [topic for topic in self.topics if topic.name == only]
        if not named:
            known = ", ".join(topic.name for topic in self.topics)
            raise UsageError(
                f"--topic {only}: is not among the raw topics of the settings ({known})",
                hint="Name it under `raw_topics` in undertone.yaml, so that `score` reads it too.",
            )
        self._by_kind = {}
        self._default = named[0]

    @property
    def targets(self) -> tuple[RawTopic, ...]:
        """The topics that a message may go to."""
        reached = {*self._by_kind.values(), self._default}
        return tuple(topic for topic in self.topics if topic in reached)

    def require_clock(self, clock: Literal["live", "recorded"]) -> None:
        """Raise UsageError where a message may go to a topic of the other clock."""
        for topic in self.targets:
            if topic.clock != clock:
                raise UsageError(
                    f"topic {topic.name} is set to `clock: {topic.clock}`",
                    hint="Give --speed max to play recorded time into it."
                    if clock == "live"
                    else "Leave --speed away, or set `clock: recorded` for it in undertone.yaml.",
                )

    def record(self, arrival: Arrival, timestamp_ms: int | None) -> TimedRecord:
        """The record of an arrival; its partition is a hash of its id, else of its bytes."""
        topic = self._by_kind.get(arrival.kind, self._default)
        key = arrival.message_id.encode() if arrival.message_id is not None else None
        return TimedRecord(
            topic=topic.name,
            partition=raw_partition(arrival.message_id, arrival.value, topic.partitions),
            value=arrival.value,
            key=key,
            timestamp_ms=timestamp_ms,
            message_id=arrival.message_id,
        )

    def ticks(self, at_ms: int) -> Iterator[TimedRecord]:
        """One tick for every partition of every topic that keeps recorded time."""
        headers = tick_headers(at_ms)
        for topic in self.topics:
            if topic.clock == "recorded":
                for partition in range(topic.partitions):
                    yield TimedRecord(topic.name, partition, None, TICK_KEY, headers, at_ms)

    @property
    def recorded_partitions(self) -> int:
        """How many partitions a round of ticks reaches."""
        return sum(topic.partitions for topic in self.topics if topic.clock == "recorded")


@dataclass(frozen=True, slots=True)
class TickPolicy:
    """When a round of ticks is due, in recorded time.

    At the earliest `every_ms` after the last one, once `records_per_tick` records have gone out
    for each tick of a round; at the latest `at_most_ms` after it. `fill_gaps` also sends rounds
    while no record comes (one each `every_ms`): a paced stream needs them, since somebody waits
    for them; at full speed the round before the next record says the same at once.
    """

    every_ms: int
    at_most_ms: int
    records_per_tick: int
    fill_gaps: bool

    @classmethod
    def for_speed(cls, speed: float | None) -> TickPolicy:
        """The policy for `speed` recorded seconds a second; None is as fast as it goes.

        At full speed a dense stream has about one tick to twelve records: ticks say no more than
        the records themselves there, except to partitions that are silent. A paced stream ticks
        every wall second and at least every recorded minute, but at most ten times a second.
        """
        if speed is None:
            return cls(MINUTE_MS, 60 * MINUTE_MS, records_per_tick=12, fill_gaps=False)
        every_ms = max(1, round(max(min(1000 * speed, MINUTE_MS), 100 * speed)))
        return cls(every_ms, every_ms, records_per_tick=0, fill_gaps=True)


def plan(
    arrivals: Iterable[Arrival],
    routes: Routes,
    ticks: TickPolicy,
    *,
    end_ms: int | None = None,
) -> Iterator[TimedRecord]:
    """Arrivals in order of time → the records and ticks of recorded time.

    A tick of T says that all that arrives before T stands before it in its partition; stamps never
    go back (an arrival below its predecessor's is raised to it). The first round stands before the
    first record, so that every partition reports from the start; the last one at `end_ms`, by
    default (and at least) 1 ms after the last arrival.
    """
    now_ms: int | None = None  # how far recorded time has come
    ticked_ms = 0  # the time of the last round
    since_round = 0  # records since then
    round_size = routes.recorded_partitions
    for arrival in arrivals:
        at_ms = arrival.at_ms if now_ms is None else max(arrival.at_ms, now_ms)
        if now_ms is None:
            yield from routes.ticks(at_ms)
            ticked_ms = at_ms
        while ticks.fill_gaps and ticked_ms + ticks.every_ms <= at_ms:
            ticked_ms += ticks.every_ms
            yield from routes.ticks(ticked_ms)
            since_round = 0
        passed_ms = at_ms - ticked_ms
        enough = since_round >= ticks.records_per_tick * round_size
        if passed_ms >= ticks.at_most_ms or (passed_ms >= ticks.every_ms and enough):
            yield from routes.ticks(at_ms)
            ticked_ms, since_round = at_ms, 0
        yield routes.record(arrival, at_ms)
        now_ms = at_ms
        since_round += 1
    last_ms = end_ms if now_ms is None else max(now_ms + 1, end_ms or 0)
    if last_ms is None:
        return
    while ticks.fill_gaps and now_ms is not None and ticked_ms + ticks.every_ms < last_ms:
        ticked_ms += ticks.every_ms
        yield from routes.ticks(ticked_ms)
    yield from routes.ticks(last_ms)


def plan_live(arrivals: Iterable[Arrival], routes: Routes) -> Iterator[TimedRecord]:
    """Arrivals in live time: as they come, stamped by the broker, without ticks."""
    return (routes.record(arrival, None) for arrival in arrivals)


def pace(
    records: Iterable[TimedRecord],
    speed: float,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[TimedRecord]:
    """Hold each record back until its recorded time has come, `speed` recorded seconds a second.

    `clock` gives monotonic seconds. A stream that fell behind catches up without a pause.
    """
    started = clock()
    origin_ms: int | None = None
    for record in records:
        if record.timestamp_ms is not None:
            if origin_ms is None:
                origin_ms = record.timestamp_ms
            ahead = started + (record.timestamp_ms - origin_ms) / 1000 / speed - clock()
            if ahead > 0:
                sleep(ahead)
        yield record
