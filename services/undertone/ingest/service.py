"""The thin shell of ingest: topics that keep the right time, and a producer that loses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import InvalidTimestampError, KafkaError

from undertone.errors import BrokerError, TopicError
from undertone.ingest.planning import TimedRecord
from undertone.settings import KafkaSettings, RawTopic, Settings
from undertone.transport.clients import admin_client, producer
from undertone.transport.topics import ensure_topics, topic_specs

Clock = Literal["live", "recorded"]
_CLOCK_OF_STAMPS: dict[str, Clock] = {"LogAppendTime": "live", "CreateTime": "recorded"}


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


def prepare_topics(settings: Settings) -> dict[str, str]:
    """Create what is missing and check that the broker stamps each raw topic as its clock says.

    Returns each topic's id. Raises TopicError that tells what to set.
    """
    ids = ensure_topics(settings.kafka, topic_specs(settings))
    topics = settings.effective_raw_topics
    found = _stamped_clocks(settings.kafka, topics)
    for topic in topics:
        if found[topic.name] == topic.clock:
            continue
        if topic.clock == "recorded":
            raise TopicError(
                f"topic {topic.name} is live: the broker stamps its records as they are appended, "
                "so it cannot take recorded time",
                hint="Leave --speed away, or use another --prefix (or another raw topic with "
                "`clock: recorded` in undertone.yaml).",
            )
        raise TopicError(
            f"topic {topic.name} keeps recorded time: its records carry the producers' stamps",
            hint="Give --speed max to ingest with recorded stamps, and set `clock: recorded` for "
            "it in undertone.yaml; for live messages use another --prefix.",
        )
    return ids


def _stamped_clocks(kafka: KafkaSettings, topics: Iterable[RawTopic]) -> dict[str, Clock]:
    """Which clock each topic keeps, as the broker's `message.timestamp.type` says."""
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=["message.timestamp.type"])
        for topic in topics
    ]
    with closing(admin_client(kafka)) as admin:
        try:
            answer: Any = admin.describe_configs(resources, config_filter="all")
        except KafkaError as error:
            raise BrokerError(f"the broker does not tell its topics' settings: {error}") from None
    described = answer["topic"]
    return {
        name: _CLOCK_OF_STAMPS[config["message.timestamp.type"]["value"]]
        for name, config in described.items()
    }


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

    def run(self, records: Iterable[TimedRecord]) -> IngestCounts:
        """Write all records and wait until each is acknowledged.

        Raises BrokerError at the first that is not; what came before it may have been written.
        """
        self._failure = None
        sent = ticks = 0
        client = producer(self._kafka)
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
            client.close(timeout=5)
        return IngestCounts(sent, ticks)

    def _send(self, client: KafkaProducer, record: TimedRecord) -> None:
        self._raise_failure()
        if self._on_sent is not None:
            self._on_sent(record, self._clock())
        client.send(
            record.topic,
            value=record.value,
            key=record.key,
            headers=record.headers,
            partition=record.partition,
            timestamp_ms=record.timestamp_ms,
        ).add_errback(self._remember)

    def _remember(self, error: Exception) -> None:
        self._failure = self._failure or error

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
