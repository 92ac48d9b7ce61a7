"""One run of the demo, step by step: services up, stream played, everything waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError

from undertone.alerting.verdict import Verdict, judge
from undertone.demo.observer import Observer
from undertone.demo.processes import ServiceProcess, service_environment
from undertone.demo.stream import DemoStream
from undertone.errors import BrokerError, UndertoneError, UsageError
from undertone.ingest.planning import Routes, TickPolicy, TimedRecord, pace, plan
from undertone.ingest.service import Ingestor
from undertone.records import Alert, AlertState
from undertone.scoring.accounting import accounting
from undertone.settings import Settings
from undertone.transport.clients import admin_client, consumer, ends_of
from undertone.transport.raw_topics import prepare_topics
from undertone.transport.reading import committed_of
from undertone.transport.topics import TopicNames, delete_topics

LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class DemoResult:
    """What the demo ends with; all counts are of messages but `mentions`."""

    counts: dict[str, int]
    sent: int
    rejected: int
    alerts: list[Alert]
    verdict: Verdict | None
    detection_seconds: list[float]

    @property
    def adds_up(self) -> bool:
        """Whether every message that was sent is accounted for, exactly once."""
        parts = ("scored", "unscored", "unmatched", "dead_letters")
        return self.sent == self.counts["messages_in"] == sum(self.counts[part] for part in parts)

    def to_json(self) -> dict[str, Any]:
        """The fields of design §10."""
        return {
            **self.counts,
            "rejected": self.rejected,
            "alerts": [alert.model_dump(mode="json", exclude_none=True) for alert in self.alerts],
            "truth": self.verdict
            and {
                "found": len(self.verdict.found),
                "missed": len(self.verdict.missed),
                "false": len(self.verdict.false_alerts),
            },
            "detection_seconds": {
                "p50": percentile(self.detection_seconds, 50),
                "p99": percentile(self.detection_seconds, 99),
            },
        }


@dataclass
class Sent:
    """What has been sent so far, and when."""

    messages: int = 0
    recorded_ms: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def note(self, record: TimedRecord, now_seconds: float) -> None:
        """Take note of one record."""
        if record.timestamp_ms is not None:
            self.recorded_ms = record.timestamp_ms
        if record.is_tick:
            return
        self.messages += 1
        if record.message_id is not None:
            self.seconds.setdefault(record.message_id, now_seconds)


class DemoSession:
    """Topics, services and an observer for one stream. A context manager that leaves nothing."""

    def __init__(
        self,
        settings: Settings,
        stream: DemoStream,
        folder: Path,
        *,
        config: Path | None = None,
        rules: Path | None = None,
        engine: str | None = None,
        outlives: bool = False,
    ) -> None:
        self.settings = settings
        self.stream = stream
        self.folder = folder
        self.sent = Sent()
        self.observer = Observer(settings, stream.end_ms)
        self.services: dict[str, ServiceProcess] = {}
        self._names = TopicNames(settings.prefix)
        self._outlives = outlives
        self._common = ["--prefix", settings.prefix, "--bootstrap", settings.kafka.bootstrap]
        self._common += ["--watchlist", str(stream.watchlist), "--metrics-port", "0"]
        self._common += ["--config", str(config)] if config else []
        self._score = ["--engine", engine] if engine else []
        self._watch = ["--rules", str(rules)] if rules else []

    def start(self, *, scorers: int = 1, watchers: int = 1) -> None:
        """Create the topics, start the services, begin to observe."""
        prepare_topics(self.settings)
        for number in range(1, watchers + 1):
            self.start_service("watch", number)
        for number in range(1, scorers + 1):
            self.start_service("score", number)
        self.observer.start()

    def start_service(self, name: str, number: int = 1) -> ServiceProcess:
        """Start one service, or start it again after it was killed."""
        own = self._score if name == "score" else self._watch
        process = ServiceProcess(
            [name, *self._common, *own],
            service_environment(self.settings),
            self.folder / f"{name}-{number}.log",
            outlives=self._outlives,
        )
        self.services[f"{name}-{number}"] = process
        return process

    def play(self, speed: float | None, tick: Callable[[], None] = lambda: None) -> int:
        """Send the whole stream and return how many messages were sent.

        `speed` in recorded seconds a second, none for as fast as it goes. `tick` is called a few
        times a second, and may raise to stop.
        """
        routes = Routes(self.settings.effective_raw_topics)
        records = plan(
            self.stream.arrivals, routes, TickPolicy.for_speed(speed), end_ms=self.stream.end_ms
        )
        stopping = threading.Event()

        def sleep(seconds: float) -> None:
            if stopping.wait(seconds):
                raise _StoppedError

        if speed is not None:
            records = pace(records, speed, clock=time.monotonic, sleep=sleep)
        records = _until_stopped(records, stopping)
        failure: list[BaseException] = []

        def send() -> None:
            try:
                Ingestor(self.settings.kafka, on_sent=self.sent.note).run(records)
            except _StoppedError:
                pass
            except BaseException as error:  # raised in the main thread
                failure.append(error)

        sender = threading.Thread(target=send, name="sender", daemon=True)
        sender.start()
        try:
            while sender.is_alive():
                self.check()
                tick()
                sender.join(LOOK_SECONDS)
        finally:
            stopping.set()
            sender.join()
        if failure:
            raise failure[0]
        return self.sent.messages

    def check(self) -> None:
        """Raise where a service has ended by itself or the observer cannot read."""
        for process in self.services.values():
            process.check()
        if self.observer.failure is not None:
            raise UndertoneError(f"cannot read the topics: {self.observer.failure}")

    def finish(
        self, timeout_seconds: float = 600.0, tick: Callable[[], None] = lambda: None
    ) -> DemoResult:
        """Wait until everything that was sent is scored, watched and read; then sum up.

        Raises UndertoneError when that does not happen within the time.
        """
        deadline = time.monotonic() + timeout_seconds
        for what, is_done in (
            ("score", self._is_scored),
            ("watch", self._is_watched),
            ("the alerts topic", self._is_read),
        ):
            while not is_done():
                self.check()
                tick()
                if time.monotonic() > deadline:
                    raise UndertoneError(
                        f"{what} has not finished within {timeout_seconds:.0f} s",
                        hint=f"The logs end:\n{self._log_ends()}",
                    )
                time.sleep(LOOK_SECONDS)
        totals = accounting(self.settings.kafka, self._names, self.settings.effective_raw_topics)
        counts = {name: value for name, value in totals.items() if name != "committed"}
        alerts = self.observer.alerts()
        return DemoResult(
            counts={**counts, "mentions": self.observer.mentions},
            sent=self.sent.messages,
            rejected=self.stream.rejected,
            alerts=alerts,
            verdict=judge(self.stream.truth, alerts) if self.stream.truth is not None else None,
            detection_seconds=self._detection_seconds(alerts),
        )

    def _log_ends(self) -> str:
        return "\n".join(
            f"{name}:\n{process.log_end()}" for name, process in sorted(self.services.items())
        )

    def _detection_seconds(self, alerts: list[Alert]) -> list[float]:
        """Wall time from the sending of each tipping message to the reading of its alert."""
        return [
            self.observer.read_seconds[alert.id, alert.revision]
            - self.sent.seconds[alert.tipping.message_id]
            for alert in alerts
            if alert.revision == 1
            and alert.state is AlertState.FIRING
            and alert.tipping.message_id in self.sent.seconds
        ]

    def _is_scored(self) -> bool:
        topics = self.settings.effective_raw_topics
        committed = accounting(self.settings.kafka, self._names, topics)["committed"]
        with closing(consumer(self.settings.kafka)) as client:
            places = [
                TopicPartition(topic.name, partition)
                for topic in topics
                for partition in range(topic.partitions)
            ]
            ends = ends_of(client, places)
        return all(
            committed.get(place.topic, {}).get(place.partition, 0) >= end
            for place, end in ends.items()
        )

    def _is_watched(self) -> bool:
        """Whether the watchers have read past the Progress that closes the recorded time."""
        partitions = range(self.settings.mentions_partitions)
        closing_offsets = self.observer.closing_offsets()
        if any(partition not in closing_offsets for partition in partitions):
            return False
        committed = committed_of(self.settings.kafka, self._names.watch_app, self._names.mentions)
        return all(committed.get(number, 0) >= closing_offsets[number] for number in partitions)

    def _is_read(self) -> bool:
        with closing(consumer(self.settings.kafka)) as client:
            place = TopicPartition(self._names.alerts, 0)
            end = ends_of(client, [place])[place]
        return self.observer.position(self._names.alerts, 0) >= int(end)

    def stop(self) -> None:
        """Stop the observer and the services."""
        self.observer.stop()
        self.stop_services()

    def stop_services(self) -> None:
        """Ask all services to stop at once, and wait for each."""
        waiting = [
            threading.Thread(target=process.stop, daemon=True) for process in self.services.values()
        ]
        for thread in waiting:
            thread.start()
        for thread in waiting:
            thread.join()

    def __enter__(self) -> DemoSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _StoppedError(Exception):
    """The demo ends while it is still sending."""


def _until_stopped(
    records: Iterable[TimedRecord], stopping: threading.Event
) -> Iterator[TimedRecord]:
    for record in records:
        if stopping.is_set():
            raise _StoppedError
        yield record


def claim_prefix(settings: Settings) -> Callable[[], None]:
    """Make sure that no topic of the demo's prefix exists; returns what deletes those made later.

    Raises UsageError where one does (the demo deletes its topics at its end, and these are
    somebody's), BrokerError where no broker answers.
    """
    prefix = settings.prefix
    with admin_client(settings.kafka) as admin:
        taken = sorted(name for name in admin.list_topics() if name.startswith(f"{prefix}."))
    if taken:
        raise UsageError(
            f"--prefix {prefix}: there is a topic {taken[0]} already, and the demo deletes its own",
            hint="Leave --prefix out for a fresh one, or name another.",
        )

    def delete() -> None:
        # A broker that has gone takes its topics along, and is what the demo's own error tells.
        with suppress(BrokerError, KafkaError):
            delete_topics(settings.kafka, prefix)

    return delete


def percentile(values: list[float], percent: int) -> float | None:
    """The nearest-rank percentile in seconds, to milliseconds; none of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[max(0, -(-len(ordered) * percent // 100) - 1)], 3)
