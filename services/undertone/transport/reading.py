"""A topic read from its beginning, or from a time, up to its present end: no group, no commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, RetriableError
from kafka.structs import OffsetAndMetadata
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from undertone.errors import BrokerError, TopicError
from undertone.settings import KafkaSettings
from undertone.transport.clients import admin_client, consumer, ends_of

POLL_MS = 200
SILENT_POLLS = 150  # 30 s without a record that should be there
RETRY_SECONDS = 15


def committed_offsets(kafka: KafkaSettings, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    """What a group has committed; waits for a broker that has just been started.

    Raises BrokerError.
    """
    again = Retrying(
        retry=retry_if_exception_type(RetriableError),
        stop=stop_after_delay(RETRY_SECONDS),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    with admin_client(kafka) as admin:
        offsets: dict[TopicPartition, OffsetAndMetadata] = again(admin.list_group_offsets, [group])[
            group
        ]
        return offsets


def committed_of(kafka: KafkaSettings, group: str, topic: str) -> dict[int, int]:
    """What a group has committed of one topic: offset by partition. Raises BrokerError."""
    return {
        place.partition: committed.offset
        for place, committed in committed_offsets(kafka, group).items()
        if place.topic == topic and committed.offset >= 0
    }


def read_to_end(kafka: KafkaSettings, topic: str, since_ms: int | None = None) -> Iterator[Any]:
    """The records of a topic (kafka-python's), in order within each partition.

    With `since_ms`, from the first record that carries that time: later ones may carry earlier
    times. Raises TopicError where there is no such topic, BrokerError.
    """
    with closing(consumer(kafka)) as client:
        try:
            yield from _records(client, topic, since_ms)
        except KafkaError as error:
            raise BrokerError(
                f"topic {topic} cannot be read: {type(error).__name__}: {error}"
            ) from None


def _records(client: KafkaConsumer, topic: str, since_ms: int | None) -> Iterator[Any]:
    numbers = client.partitions_for_topic(topic)
    if not numbers:
        raise TopicError(
            f"topic {topic} does not exist",
            hint="Is the prefix right (--prefix)? The services create their topics as they start.",
        )
    places = [TopicPartition(topic, number) for number in sorted(numbers)]
    client.assign(places)
    client.seek_to_beginning(*places)
    if since_ms is not None:
        found = client.offsets_for_times(dict.fromkeys(places, max(0, since_ms)))
        for place, at in found.items():
            if at is None:
                client.seek_to_end(place)
            else:
                client.seek(place, at.offset)
    ends = ends_of(client, places)
    silent = 0
    while any(client.position(place) < ends[place] for place in places):
        batches = client.poll(timeout_ms=POLL_MS)
        silent = 0 if batches else silent + 1
        if silent > SILENT_POLLS:
            raise BrokerError(f"topic {topic}: the broker sends nothing, and there is more to read")
        for place, records in batches.items():
            yield from (record for record in records if record.offset < ends[place])
