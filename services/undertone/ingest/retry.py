"""Dead letters' records sent to their raw topics once more, and the letters marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing

from kafka import KafkaProducer
from kafka.errors import KafkaError

from undertone.errors import BrokerError
from undertone.settings import KafkaSettings, Settings
from undertone.transport.clients import producer
from undertone.transport.letter_box import (
    RETRIED_HEADER,
    BoxRecord,
    KeptLetter,
    Place,
    kept_letters,
)
from undertone.transport.reading import read_to_end
from undertone.transport.topics import TopicNames

ACKNOWLEDGED_SECONDS = 30.0


def read_letters(settings: Settings) -> list[KeptLetter]:
    """The dead letters of a prefix, each once. Raises TopicError, BrokerError, RecordError."""
    topic = TopicNames(settings.prefix).dead_letters
    return kept_letters(
        BoxRecord(record.value, record.timestamp, record.headers or ())
        for record in read_to_end(settings.kafka, topic)
    )


def send_again(
    kafka: KafkaSettings, prefix: str, letters: Iterable[KeptLetter]
) -> Iterator[tuple[KeptLetter, Place]]:
    """Append each record to its partition anew and mark its letter; yields where it stands now.

    The mark follows the record's acknowledgement: a crash in between leaves a letter that may be
    retried twice, never one that was not retried and says so. A live topic stamps the record when
    it is appended; in a recorded one it carries its first arrival, which the scorer raises to the
    latest before it. Raises BrokerError.
    """
    with closing(producer(kafka)) as client:
        for kept in letters:
            try:
                yield kept, _send_one(client, TopicNames(prefix).dead_letters, kept)
            except KafkaError as error:
                raise BrokerError(
                    f"{kept.place} was not sent again: {type(error).__name__}: {error}"
                ) from None


def _send_one(client: KafkaProducer, letter_topic: str, kept: KeptLetter) -> Place:
    letter = kept.letter
    sent = client.send(
        letter.topic, kept.value, partition=letter.partition, timestamp_ms=kept.arrived_ms
    ).get(ACKNOWLEDGED_SECONDS)
    now = Place(sent.topic, sent.partition, sent.offset)
    client.send(
        letter_topic,
        letter.to_json(),
        key="-".join(map(str, kept.place)).encode(),
        partition=0,
        headers=[(RETRIED_HEADER, str(now).encode())],
        timestamp_ms=kept.arrived_ms,
    ).get(ACKNOWLEDGED_SECONDS)
    return now
