"""The thin shell of ingest: a producer that loses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from kafka import KafkaProducer
from kafka.errors import InvalidTimestampError, KafkaError

from undertone.errors import BrokerError
from undertone.ingest.planning import TimedRecord
from undertone.settings import KafkaSettings, Settings
from undertone.transport.clients import producer

IN_FLIGHT_RECORDS = 5_000  # kafka-python bounds neither their number nor their bytes
OUTAGE_MS = 600_000  # a broker that comes back within it has lost nothing


@dataclass(frozen=True, slots=True)
class IngestCounts:
    """What was written and acknowledged."""

    ingested: int
    ticks: int


def in_recorded_time(settings: Settings) -> Settings:
    """The same settings with raw topics on the recorded clock: all, unless some are already."""
    topics = settings.effective_raw_topics
    if any(topic.clock == "recorded" for topic in topics):
        return settings
    recorded = tuple(topic.model_copy(update={"clock": "recorded"}) for topic in topics)
    return settings.model_copy(update={"raw_topics": recorded})


class Ingestor:
    """Writes planned records to Kafka, in order within each partition.

    `on_sent(record, sent_seconds)` is called for each record, ticks included, as it is handed to
    the producer; `clock` gives the seconds (monotonic by default).
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        on_sent: Callable[[TimedRecord, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kafka = kafka
        self._on_sent = on_sent
        self._clock = clock
        self._failure: Exception | None = None
        self._room: threading.Semaphore

    def run(self, records: Iterable[TimedRecord]) -> IngestCounts:
        """Write all records and wait until each is acknowledged.

        Raises BrokerError at the first that is not; what came before it may have been written.
        """
        self._failure, self._room = None, threading.Semaphore(IN_FLIGHT_RECORDS)
        sent = ticks = 0
        client = producer(self._kafka, delivery_timeout_ms=OUTAGE_MS)
        try:
            for record in records:
                self._send(client, record)
                sent += not record.is_tick
                ticks += record.is_tick
            client.flush()
            self._raise_failure()
        except KafkaError as error:
            raise self._broker_error(error) from None
        finally:
            with suppress(KafkaError):  # all is acknowledged, or the failure is on its way
                client.close(timeout=5)
        return IngestCounts(sent, ticks)

    def _send(self, client: KafkaProducer, record: TimedRecord) -> None:
        while not self._room.acquire(timeout=1):
            self._raise_failure()
        self._raise_failure()
        if self._on_sent is not None:
            self._on_sent(record, self._clock())
        future = client.send(
            record.topic,
            value=record.value,
            key=record.key,
            headers=record.headers,
            partition=record.partition,
            timestamp_ms=record.timestamp_ms,
        )
        future.add_callback(self._acknowledged)
        future.add_errback(self._remember)

    def _acknowledged(self, _sent: object) -> None:
        self._room.release()

    def _remember(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._room.release()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._broker_error(self._failure) from None

    def _broker_error(self, error: Exception) -> BrokerError:
        if isinstance(error, InvalidTimestampError):
            return BrokerError(
                "the broker refused a stamp: recorded time must not run more than an hour ahead "
                "of the wall clock",
                hint="Give --until, or an earlier --end.",
            )
        return BrokerError(
            f"a record could not be written to {self._kafka.bootstrap}: {error}",
            hint="What was written before stands; ids let readers skip it when you ingest again.",
        )
