"""One run of a stream through a fleet of services: sent, waited for, and its faults injected."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError

from chaos.dependencies import BrokerFaults, ShakyAlertmanager
from chaos.fleet import Fleet
from chaos.schedule import ALERTMANAGER_FAULTS, BROKER_FAULTS, Fault, FaultClass
from chaos.stream import SkewedStamps
from undertone.demo.observer import ClosingOffsets
from undertone.demo.stream import DemoStream
from undertone.errors import RecordError, UndertoneError
from undertone.ingest.planning import Routes, TickPolicy, TimedRecord, pace, plan
from undertone.ingest.service import Ingestor
from undertone.records import Progress
from undertone.scoring.accounting import accounting
from undertone.settings import Settings
from undertone.transport.clients import consumer, producer
from undertone.transport.codec import decode_watch_record
from undertone.transport.reading import committed_of
from undertone.transport.topics import TopicNames

LOOK_SECONDS = 0.25
TELL_SECONDS = 15.0
FEWEST, MOST = 2, 3

MENTION_POISON: tuple[bytes | None, ...] = (
    None,
    b"",
    b"{",
    b"\x80\x81",
    b'{"schema": "mention/1"}',
    b'{"schema": "mention/1", "subject": 7, "raw": []}',
    b'{"schema": "progress/1", "expected": {"raw": -1}, "complete_until": 5}',
    b'{"schema": "unheard/of"}',
    b"[" * 2_000,
)


class FailedError(Exception):
    """The run cannot be brought to its end."""


class Run:
    """A stream, the services that read it, and how far they are."""

    def __init__(
        self,
        settings: Settings,
        stream: DemoStream,
        skew: SkewedStamps,
        fleet: Fleet,
        say: Callable[[str], None],
    ) -> None:
        self.settings, self.fleet = settings, fleet
        self._say = say
        self._stream, self._skew = stream, skew
        self._names = TopicNames(settings.prefix)
        self._sent = 0

    @property
    def share(self) -> float:
        """How much of the stream has been sent."""
        return self._sent / len(self._stream.arrivals)

    def play(self, speed: float | None, tick: Callable[[], None]) -> None:
        """Send the stream, `speed` recorded seconds a second, and `tick` all the while."""
        failure: list[BaseException] = []

        def send() -> None:
            try:
                self._send(speed)
            except BaseException as error:  # raised in the main thread
                failure.append(error)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        while sender.is_alive():
            tick()
            sender.join(LOOK_SECONDS)
        if failure:
            raise FailedError(f"the stream could not be sent: {failure[0]!r}")

    def _send(self, speed: float | None) -> None:
        routes = Routes(self.settings.effective_raw_topics)
        ticks = TickPolicy.for_speed(speed)
        records = plan(self._stream.arrivals, routes, ticks, end_ms=self._stream.end_ms)
        if speed is not None:
            records = pace(records, speed, clock=time.monotonic, sleep=time.sleep)
        Ingestor(self.settings.kafka, on_sent=self._note).run(self._skew.apply(records))

    def _note(self, record: TimedRecord, _seconds: float) -> None:
        self._sent += not record.is_tick

    def finish(self, tick: Callable[[], None], limit_seconds: float) -> None:
        """Wait until everything is scored and watched. Raises FailedError past the limit."""
        deadline = time.monotonic() + limit_seconds
        self._wait("score", self._unscored, tick, deadline)
        closing_offsets = self._closing_offsets(tick, deadline)
        self._wait("watch", lambda: self._unwatched(closing_offsets), tick, deadline)

    def _wait(
        self,
        what: str,
        behind: Callable[[], Mapping[Any, int]],
        tick: Callable[[], None],
        deadline: float,
    ) -> None:
        """Until nothing is behind any more."""
        tell_at = time.monotonic() + TELL_SECONDS
        left: object = "nobody knows what"
        while True:
            tick()
            try:
                if not (left := behind()):
                    return
            except (UndertoneError, KafkaError) as error:
                left = error  # the broker is busy with itself
            now = time.monotonic()
            if now > deadline:
                raise FailedError(f"{what}: {left} left:\n{self.fleet.log_ends()}")
            if now > tell_at:
                tell_at = now + TELL_SECONDS
                self._say(f"{what}: {left} left")
            time.sleep(LOOK_SECONDS)

    def _unscored(self) -> dict[str, int]:
        """{raw partition: records that are not committed}."""
        topics = self.settings.effective_raw_topics
        committed = accounting(self.settings.kafka, self._names, topics)["committed"]
        with closing(consumer(self.settings.kafka)) as client:
            ends = client.end_offsets(
                [
                    TopicPartition(topic.name, number)
                    for topic in topics
                    for number in range(topic.partitions)
                ]
            )
        return {
            f"{place.topic}[{place.partition}]": end - done
            for place, end in ends.items()
            if (done := committed.get(place.topic, {}).get(place.partition, 0)) < end
        }

    def _closing_offsets(self, tick: Callable[[], None], deadline: float) -> dict[int, int]:
        """{mentions partition: offset behind the Progress that closes the recorded time}."""
        found = ClosingOffsets(self._stream.end_ms)
        partitions = range(self.settings.mentions_partitions)
        with closing(consumer(self.settings.kafka)) as client:
            places = [TopicPartition(self._names.mentions, number) for number in partitions]
            client.assign(places)
            client.seek_to_beginning(*places)

            def unclosed() -> dict[int, int]:
                for place, records in client.poll(timeout_ms=100).items():
                    for record in records:
                        try:
                            decoded = decode_watch_record(record.value)
                        except RecordError:
                            continue
                        if isinstance(decoded, Progress):
                            found.note(place.partition, record.offset, decoded)
                return {number: 1 for number in partitions if number not in found.offsets}

            self._wait("the last Progress", unclosed, tick, deadline)
        return found.offsets

    def _unwatched(self, closing_offsets: dict[int, int]) -> dict[int, int]:
        """{mentions partition: records that are not committed}."""
        committed = committed_of(self.settings.kafka, self._names.watch_app, self._names.mentions)
        return {
            number: end - done
            for number, end in closing_offsets.items()
            if (done := committed.get(number, 0)) < end
        }


class Injector:
    """Injects a schedule into a run; what cannot be done yet waits, and others go before it."""

    def __init__(
        self,
        run: Run,
        faults: list[Fault],
        broker: BrokerFaults,
        alertmanager: ShakyAlertmanager,
        report: Callable[[str], None],
    ) -> None:
        self.injected: Counter[FaultClass] = Counter()
        self.skipped: list[str] = []
        self._run, self._waiting = run, list(faults)
        self._broker, self._alertmanager = broker, alertmanager
        self._report = report
        self._mend_at: float | None = None
        self._producer = producer(run.settings.kafka, delivery_timeout_ms=600_000)
        self._poisons: list[Any] = []

    @property
    def done(self) -> bool:
        """Whether all faults have been, and everything is well again."""
        return not self._waiting and not self._broker.busy and self._mend_at is None

    def tick(self) -> None:
        """Inject what is due, supervise what runs."""
        if self._broker.failure is not None:
            raise FailedError(f"the broker could not be mended: {self._broker.failure}")
        self._run.fleet.supervise()
        if self._mend_at is not None and time.monotonic() >= self._mend_at:
            self._alertmanager.mend()
            self._mend_at = None
        share = self._run.share
        due = [fault for fault in self._waiting if fault.share <= share]
        for fault in due:
            if self._inject(fault):
                self._waiting.remove(fault)
                self.injected[fault.what] += 1
                self._report(f"{share:4.0%} {fault.what} {fault.seconds:.0f} s")

    def close(self) -> None:
        """Heal everything and stop sending."""
        self._run.fleet.wake()
        for future in self._poisons:
            future.get(60)
        self._producer.close()

    def _inject(self, fault: Fault) -> bool:
        """Whether it could be done now."""
        if fault.what in BROKER_FAULTS:
            return not self._broker.busy and self._begin_on_broker(fault)
        if fault.what in ALERTMANAGER_FAULTS:
            if self._mend_at is not None:
                return False
            self._alertmanager.begin(fault.what)
            self._mend_at = time.monotonic() + fault.seconds
            return True
        if fault.what is FaultClass.POISON_MENTION:
            self._poison(fault.choice)
            return True
        return self._disturb_services(fault)

    def _begin_on_broker(self, fault: Fault) -> bool:
        if self._broker.begin(fault):
            return True
        self._waiting.remove(fault)
        self.skipped.append(f"{fault.what}: no disk can be mounted here")
        return False

    def _poison(self, choice: float) -> None:
        partitions = self._run.settings.mentions_partitions
        number = int(choice * len(MENTION_POISON) * partitions)
        topic = TopicNames(self._run.settings.prefix).mentions
        value = MENTION_POISON[number // partitions]
        self._poisons.append(
            self._producer.send(topic, key=b"poison", value=value, partition=number % partitions)
        )

    def _disturb_services(self, fault: Fault) -> bool:
        fleet, choice = self._run.fleet, fault.choice
        service = str(fault.what.value).split()[-1 if "SIG" in fault.what.value else 0]
        match fault.what:
            case FaultClass.KILL_SCORE | FaultClass.KILL_WATCH:
                return fleet.kill(service, choice)
            case FaultClass.TERMINATE_SCORE | FaultClass.TERMINATE_WATCH:
                return fleet.terminate(service, choice)
            case FaultClass.PAUSE_SCORE | FaultClass.PAUSE_WATCH:
                return fleet.pause(service, choice, fault.seconds)
            case FaultClass.REMOVE_SCORE | FaultClass.REMOVE_WATCH:
                return fleet.count(service) > FEWEST and fleet.remove(service, choice)
        if fleet.count(service) >= MOST:
            return False
        fleet.add(service)
        return True
