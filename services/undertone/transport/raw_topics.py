"""Raw topics: which takes a message, where in it, and whether it keeps the right time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import xxhash
from kafka.admin import ConfigResource, ConfigResourceType

from undertone.errors import TopicError
from undertone.records import Kind
from undertone.settings import KafkaSettings, RawTopic, Settings
from undertone.transport.clients import admin_client
from undertone.transport.codec import partition_of
from undertone.transport.topics import ensure_topics, topic_specs

Clock = Literal["live", "recorded"]
_CLOCK_OF_STAMPS: dict[str, Clock] = {"LogAppendTime": "live", "CreateTime": "recorded"}


def topic_of_kind(kind: Kind, topics: Sequence[RawTopic]) -> RawTopic:
    """The first topic of this kind, else the first topic."""
    return next((topic for topic in topics if topic.kind == kind), topics[0])


def raw_partition(message_id: str | None, value: bytes, partitions: int) -> int:
    """The partition of a raw record: a hash of its id, else of its bytes."""
    key = xxhash.xxh64_digest(value) if message_id is None else message_id.encode()
    return partition_of(key, partitions)


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
    with admin_client(kafka) as admin:
        answer: Any = admin.describe_configs(resources, config_filter="all")
    described = answer["topic"]
    return {
        name: _CLOCK_OF_STAMPS[config["message.timestamp.type"]["value"]]
        for name, config in described.items()
    }
