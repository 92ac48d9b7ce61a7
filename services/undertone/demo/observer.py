"""Reads what the services write, while they write it: mentions, trend points, alerts."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import closing

from kafka import TopicPartition

from undertone.errors import RecordError
from undertone.records import Alert, Progress, TrendPoint
from undertone.settings import Settings
from undertone.transport.clients import consumer
from undertone.transport.codec import decode_watch_record
from undertone.transport.topics import TopicNames

POLL_MS = 100


class ClosingOffsets:
    """Where each mentions partition says that all raw partitions are scored up to `end_ms`.

    `offsets` holds, for each partition that has said so, the offset behind that Progress.
    """

    def __init__(self, end_ms: int) -> None:
        self.offsets: dict[int, int] = {}
        self._end_ms = end_ms
        self._clocks: dict[int, dict[tuple[str, int], int]] = defaultdict(dict)

    def note(self, partition: int, offset: int, progress: Progress) -> None:
        """Take note of one Progress; each scorer tells of the raw partitions that it owns."""
        clock = self._clocks[partition]
        for topic, instants in progress.complete_until.items():
            for raw_partition, instant_ms in instants.items():
                key = (topic, raw_partition)
                clock[key] = max(instant_ms, clock.get(key, instant_ms))
        wanted = [
            (topic, number) for topic, count in progress.expected.items() for number in range(count)
        ]
        if all(clock.get(place, -1) >= self._end_ms for place in wanted):
            self.offsets.setdefault(partition, offset + 1)


class Observer:
    """A thread that follows the mentions, trends and alerts topics from their beginning.

    Repeated records count once: a mention by (subject, raw position), an alert by (id, revision).
    """

    def __init__(self, settings: Settings, end_ms: int) -> None:
        self._settings = settings
        self._names = TopicNames(settings.prefix)
        self._closing = ClosingOffsets(end_ms)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="observer", daemon=True)
        self._mentions: set[tuple[str, str, int, int]] = set()
        self._alerts: dict[tuple[str, int], Alert] = {}
        self._trends: dict[tuple[str, str, str], TrendPoint] = {}
        self._positions: dict[tuple[str, int], int] = {}
        self.read_seconds: dict[tuple[str, int], float] = {}
        self.failure: Exception | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following and wait for the thread."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def mentions(self) -> int:
        """Distinct mentions read so far."""
        with self._lock:
            return len(self._mentions)

    def alerts(self) -> list[Alert]:
        """All revisions read so far, in the order (decided at, subject, rule, revision)."""
        with self._lock:
            revisions = list(self._alerts.values())
        return sorted(
            revisions,
            key=lambda alert: (alert.detected_at, alert.subject, alert.rule, alert.revision),
        )

    def trends(self) -> dict[tuple[str, str, str], TrendPoint]:
        """The newest trend point of each (subject, kind, window)."""
        with self._lock:
            return dict(self._trends)

    def position(self, topic: str, partition: int) -> int:
        """The offset up to which a partition has been read."""
        with self._lock:
            return self._positions.get((topic, partition), 0)

    def closing_offsets(self) -> dict[int, int]:
        """{mentions partition: offset after which nothing of the stream is still to come}."""
        with self._lock:
            return dict(self._closing.offsets)

    def _follow(self) -> None:
        try:
            with closing(consumer(self._settings.kafka)) as client:
                partitions = [
                    TopicPartition(topic, partition)
                    for topic, count in (
                        (self._names.mentions, self._settings.mentions_partitions),
                        (self._names.trends, self._settings.mentions_partitions),
                        (self._names.alerts, 1),
                    )
                    for partition in range(count)
                ]
                client.assign(partitions)
                client.seek_to_beginning(*partitions)
                while not self._stop.is_set():
                    for place, records in client.poll(timeout_ms=POLL_MS).items():
                        for record in records:
                            self._take(record.topic, record.partition, record.offset, record.value)
                        with self._lock:
                            self._positions[place.topic, place.partition] = records[-1].offset + 1
        except Exception as error:  # the demo's main thread raises it
            self.failure = error

    def _take(self, topic: str, partition: int, offset: int, value: bytes) -> None:
        if topic == self._names.mentions:
            self._take_mention(partition, offset, value)
        elif topic == self._names.trends:
            point = TrendPoint.from_json(value)
            with self._lock:
                self._trends[point.subject, point.kind, point.window] = point
        else:
            alert = Alert.from_json(value)
            key = (alert.id, alert.revision)
            with self._lock:
                if key not in self._alerts:
                    self._alerts[key] = alert
                    self.read_seconds[key] = time.monotonic()

    def _take_mention(self, partition: int, offset: int, value: bytes) -> None:
        try:
            record = decode_watch_record(value)
        except RecordError:
            return
        with self._lock:
            if isinstance(record, Progress):
                self._closing.note(partition, offset, record)
            else:
                raw = record.raw
                self._mentions.add((record.subject, raw.topic, raw.partition, raw.offset))
