"""kafka-python as undertone uses it, on a real broker."""

from __future__ import annotations

from contextlib import closing

import pytest
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from undertone.errors import BrokerError
from undertone.settings import KafkaSettings, Settings
from undertone.transport import clients
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.topics import ensure_topics, topic_specs

pytestmark = pytest.mark.kafka

POLLS = 5_000


def test_a_member_that_polls_in_short_steps_is_given_its_partitions(
    broker: EmbeddedBroker, prefix: str
) -> None:
    settings = Settings(prefix=prefix, kafka=KafkaSettings(bootstrap=broker.bootstrap))
    ensure_topics(settings.kafka, topic_specs(settings))
    topics = [topic.name for topic in settings.effective_raw_topics]
    for attempt in range(4):  # left to itself, kafka-python forgot four joins of five
        member = clients.consumer(
            settings.kafka,
            group_id=f"{prefix}.{attempt}",
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
        )
        with closing(member):
            member.subscribe(topics)
            for _ in range(POLLS):
                clients.poll_group(member, timeout_ms=1)
                if member.assignment():
                    break
            assert len(member.assignment()) == 4


def test_what_kafka_refuses_an_admin_client_is_an_error_of_ours_with_the_brokers_address(
    broker: EmbeddedBroker, prefix: str
) -> None:
    client = clients.admin_client(KafkaSettings(bootstrap=broker.bootstrap))
    with pytest.raises(BrokerError) as told, client as admin:
        admin.create_topics([f"{prefix}/no topic's name"])
    assert f"Kafka at {broker.bootstrap} failed: InvalidTopicError: " in str(told.value)
