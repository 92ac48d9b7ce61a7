"""Whether raw topics stamp as their clock needs (design §4.4)."""

from __future__ import annotations

from collections.abc import Iterable

from kafka.admin import ConfigFilterType, ConfigResource, ConfigResourceType

from undertone.errors import TopicError
from undertone.settings import KafkaSettings, RawTopic
from undertone.transport.clients import admin_client

STAMPS = {"live": "LogAppendTime", "recorded": "CreateTime"}


def check_raw_clocks(kafka: KafkaSettings, topics: Iterable[RawTopic]) -> None:
    """Raise TopicError where a live topic does not stamp on append, or a recorded one does."""
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, topic.name, ["message.timestamp.type"])
        for topic in topics
    ]
    with admin_client(kafka) as admin:
        found = admin.describe_configs(resources, config_filter=ConfigFilterType.ALL)["topic"]
    for topic in topics:
        stamps = found[topic.name]["message.timestamp.type"]["value"]
        if stamps != STAMPS[topic.clock]:
            raise TopicError(
                f"topic {topic.name} stamps with {stamps}; its clock is `{topic.clock}` in the "
                f"settings, which needs {STAMPS[topic.clock]}",
                hint=(
                    f"Set message.timestamp.type={STAMPS[topic.clock]} on an empty topic, or "
                    "correct raw_topics.clock: `recorded` is for `undertone ingest --speed`."
                ),
            )
