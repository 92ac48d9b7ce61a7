"""Shell: a thread that follows the trends and alerts topics, in no group, committing nothing.

Alerts are read from the beginning of their topic, trends from `past` before the newest record.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from undertone.board.metrics import BoardMetrics
from undertone.board.state import BoardState
from undertone.errors import BrokerError, RecordError
from undertone.records import Alert, TrendPoint
from undertone.settings import KafkaSettings
from undertone.transport.clients import begins_of, consumer, ends_of
from undertone.transport.patience import await_broker
from undertone.transport.topics import TopicNames

POLL_MS = 250
LOOK_SECONDS = 5.0  # how often the ends of the topics are asked for
ANSWER_MS = 10_000
UNREADABLE_LOGGED = 20

log = logging.getLogger(__name__)

Ends = dict[TopicPartition, int]


class Reader(threading.Thread):
    """Takes what it reads into `state`, under `lock`. `on_end` is called when it ends."""

    def __init__(
        self,
        kafka: KafkaSettings,
        names: TopicNames,
        state: BoardState,
        lock: threading.Lock,
        metrics: BoardMetrics,
        *,
        past_ms: int,
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(name="reader", daemon=True)
        self._kafka, self._names = kafka, names
        self._state, self._lock, self._metrics = state, lock, metrics
        self._past_ms, self._on_end = past_ms, on_end
        self._stopping = threading.Event()
        self._kinds: dict[str, type[Alert] | type[TrendPoint]] = {
            names.alerts: Alert,
            names.trends: TrendPoint,
        }
        self._starts: Ends = {}
        self._wanted: Ends = {}  # the ends at the start: ready when all are reached
        self._at: Ends = {}
        self._unreadable = 0
        self._missing: str | None = None
        self.is_ready = False
        self.is_cut_off = False  # the broker does not answer
        self.fault: BaseException | None = None
        for topic in self._kinds:
            metrics.know_topic(topic)

    def stop(self) -> None:
        """End soon; `join` waits for it."""
        self._stopping.set()

    def unready(self) -> str | None:
        """Why not all is shown yet, in words; None where the ends at the start were reached."""
        if self.is_ready:
            return None
        if self._missing is not None:
            return f"topic {self._missing} does not exist yet"
        total = sum(self._wanted.values()) - sum(self._starts.values())
        if not self._wanted or total <= 0:
            return "the topics are being looked up"
        done = sum(self._at.values()) - sum(self._starts.values())
        return f"the topics are being read: {min(0.99, done / total):.0%}"

    def run(self) -> None:
        """Follow until stopped; a fault is kept for `fault`."""
        try:
            await_broker(self._kafka, self._stopping.wait)
            if self._stopping.is_set():
                return
            with closing(consumer(self._kafka, allow_auto_create_topics=False)) as client:
                places = self._places(client)
                if places:
                    self._start(client, places)
                    self._follow(client, places)
        except BaseException as fault:  # the service raises it
            self.fault = fault
        finally:
            self._on_end()

    def _places(self, client: KafkaConsumer) -> list[TopicPartition]:
        """All partitions, as soon as both topics exist; none when stopped before."""
        places: list[TopicPartition] = []
        for topic in self._kinds:
            while not (numbers := client.partitions_for_topic(topic)):
                self._missing = topic
                if self._stopping.wait(1.0):
                    return []
            self._missing = None
            places += [TopicPartition(topic, number) for number in sorted(numbers)]
        return places

    def _start(self, client: KafkaConsumer, places: Sequence[TopicPartition]) -> None:
        client.assign(list(places))  # so that it asks for the leaders of both topics
        firsts = begins_of(client, places)
        ends = ends_of(client, places)
        trends = [p for p in places if p.topic == self._names.trends and ends[p] > firsts[p]]
        newest_ms = _newest(client, trends, ends)
        begins = dict(firsts)
        if newest_ms is not None:
            asked = dict.fromkeys(trends, max(0, newest_ms - self._past_ms))
            for place, found in client.offsets_for_times(asked).items():
                begins[place] = ends[place] if found is None else int(found.offset)
        client.assign(list(places))
        for place in places:
            client.seek(place, begins[place])
        self._starts, self._at = dict(begins), dict(begins)
        self._wanted = ends

    def _follow(self, client: KafkaConsumer, places: Sequence[TopicPartition]) -> None:
        look_at = 0.0
        while not self._stopping.is_set():
            for place, records in client.poll(timeout_ms=POLL_MS).items():
                self._take(place.topic, [record.value for record in records])
                self._at[place] = records[-1].offset + 1
            if not self.is_ready:
                self.is_ready = all(self._at[p] >= end for p, end in self._wanted.items())
            if time.monotonic() >= look_at:
                self._look(client, places)
                look_at = time.monotonic() + LOOK_SECONDS

    def _take(self, topic: str, values: Iterable[bytes | None]) -> None:
        decoded = [self._decode(topic, value) for value in values]
        records = [record for record in decoded if record is not None]
        with self._lock:
            taken = sum(self._state.take(record) for record in records)
            clock_ms = self._state.clock_ms
        counts = self._metrics.records
        counts.labels(topic, "taken").inc(taken)
        counts.labels(topic, "repeated").inc(len(records) - taken)
        counts.labels(topic, "unreadable").inc(len(decoded) - len(records))
        if clock_ms is not None:
            self._metrics.clock.set(clock_ms / 1000)

    def _decode(self, topic: str, value: bytes | None) -> Alert | TrendPoint | None:
        try:
            return self._kinds[topic].from_json(value or b"")
        except RecordError as error:
            self._unreadable += 1
            if self._unreadable <= UNREADABLE_LOGGED:
                log.warning("a record of %s cannot be read, it is left out: %s", topic, error)
            return None

    def _look(self, client: KafkaConsumer, places: Sequence[TopicPartition]) -> None:
        """How far the topics' ends are; whether the broker answers at all."""
        try:
            ends = ends_of(client, places)
        except (KafkaError, BrokerError) as error:
            if not self.is_cut_off:
                log.warning("the broker does not answer: %s: %s", type(error).__name__, error)
            self.is_cut_off = True
            return
        self.is_cut_off = False
        for topic in self._kinds:
            left = sum(ends[p] - self._at[p] for p in places if p.topic == topic)
            self._metrics.lag.labels(topic).set(max(0, left))
        with self._lock:
            self._metrics.open_alerts.set(sum(alert.is_open for alert in self._state.alerts))


def _newest(client: KafkaConsumer, places: Sequence[TopicPartition], ends: Ends) -> int | None:
    """The greatest stamp of the partitions' last records, in ms; None where none arrives."""
    if not places:
        return None
    client.assign(list(places))
    for place in places:
        client.seek(place, ends[place] - 1)
    stamps: dict[TopicPartition, int] = {}
    deadline = time.monotonic() + ANSWER_MS / 1000
    while len(stamps) < len(places) and time.monotonic() < deadline:
        for place, records in client.poll(timeout_ms=POLL_MS).items():
            stamps[place] = max(record.timestamp for record in records)
    return max(stamps.values(), default=None)
