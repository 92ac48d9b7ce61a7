"""Names of topics and groups, all from one prefix, and their creation (design §1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, RetriableError, TopicAlreadyExistsError

from undertone.errors import TopicError
from undertone.settings import KafkaSettings, Settings
from undertone.transport.clients import admin_client


@dataclass(frozen=True)
class TopicNames:
    """Every topic and consumer group of one deployment."""

    prefix: str

    @property
    def raw_news(self) -> str:
        return f"{self.prefix}.raw.news"

    @property
    def raw_social(self) -> str:
        return f"{self.prefix}.raw.social"

    @property
    def mentions(self) -> str:
        return f"{self.prefix}.mentions"

    @property
    def trends(self) -> str:
        return f"{self.prefix}.trends"

    @property
    def alerts(self) -> str:
        return f"{self.prefix}.alerts"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}.dead-letters"

    @property
    def score_group(self) -> str:
        return f"{self.prefix}.score"

    @property
    def annotate_group(self) -> str:
        return f"{self.prefix}.annotate"

    @property
    def watch_app(self) -> str:
        """Faust's application id: its consumer group, and the prefix of its changelog topics."""
        return f"{self.prefix}.watch"


@dataclass(frozen=True)
class TopicSpec:
    """A topic to have: its partitions and broker-side configuration."""

    name: str
    partitions: int
    configs: Mapping[str, str]


FOR_EVER = {"retention.ms": "-1"}
NINETY_DAYS = {"retention.ms": str(90 * 86_400_000)}


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """All topics of a deployment but Faust's changelogs.

    Live raw topics stamp on append; recorded time is kept for ever, because Kafka's retention
    counts by the records' own stamps (design §4.1).
    """
    names = TopicNames(settings.prefix)
    recorded = any(topic.clock == "recorded" for topic in settings.effective_raw_topics)
    kept = FOR_EVER if recorded else NINETY_DAYS
    specs = [
        TopicSpec(
            topic.name,
            topic.partitions,
            {"message.timestamp.type": "LogAppendTime"}
            if topic.clock == "live"
            else {"message.timestamp.type": "CreateTime", **FOR_EVER},
        )
        for topic in settings.effective_raw_topics
    ]
    return [
        *specs,
        TopicSpec(names.mentions, settings.mentions_partitions, kept),
        TopicSpec(names.trends, settings.mentions_partitions, kept),
        TopicSpec(names.alerts, 1, kept),
        TopicSpec(names.dead_letters, 1, kept),
    ]


def ensure_topics(kafka: KafkaSettings, specs: Iterable[TopicSpec]) -> dict[str, str]:
    """Create the topics that are missing and check those that are there.

    Returns each topic's id (a recreated topic has another). Raises TopicError where a topic has
    another number of partitions than the settings say.
    """
    wanted = {spec.name: spec for spec in specs}
    with admin_client(kafka) as admin:
        for spec in wanted.values():
            _create_if_missing(admin, spec)
        admin.wait_for_topics(list(wanted))
        described = {topic["name"]: topic for topic in admin.describe_topics(list(wanted))}
    for name, spec in wanted.items():
        found = len(described[name]["partitions"])
        if found != spec.partitions:
            raise TopicError(
                f"topic {name} has {found} partitions, the settings say {spec.partitions}",
                hint="Correct the settings; a topic that must grow is a new topic and a rebuild.",
            )
    return {name: str(described[name]["topic_id"]) for name in wanted}


def _create_if_missing(admin: KafkaAdminClient, spec: TopicSpec) -> None:
    options = {
        "num_partitions": spec.partitions,
        "replication_factor": -1,
        "configs": dict(spec.configs),
    }
    try:
        admin.create_topics({spec.name: options})
    except TopicAlreadyExistsError:
        pass
    except RetriableError:
        raise  # the broker has gone: that is not the topic's fault
    except KafkaError as error:
        raise TopicError(f"topic {spec.name} cannot be created: {error}") from None


def delete_topics(kafka: KafkaSettings, prefix: str) -> list[str]:
    """Delete every topic whose name begins with `prefix.`; returns their names."""
    with admin_client(kafka) as admin:
        names = sorted(name for name in admin.list_topics() if name.startswith(f"{prefix}."))
        if names:
            admin.delete_topics(names)
    return names
