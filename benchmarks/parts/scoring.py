"""A scorer between two topics of a real broker, and what it made of them.

Both topics stamp on append: rates and latencies are differences of the broker's own stamps.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry

from undertone.records import Kind, Mention
from undertone.scoring.pipeline import RawRecord, Reader, Reading
from undertone.scoring.service import ScoreService
from undertone.settings import KafkaSettings, ModelSettings, RawTopic, Settings
from undertone.transport import clients
from undertone.transport.codec import decode_watch_record
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.topics import TopicNames, TopicSpec, ensure_topics, topic_specs
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import Watchlist
from undertone_models.batching import forward_packed
from undertone_models.classifier import EncodedPair, Pair, SentimentClassifier

PARTITIONS = 2
THREADS = 2
DEADLINE_SECONDS = 300.0
# The first tenth of a run is left out: the stages fill, the first fetch comes in.
LEFT_OUT = 0.1
EVERYTHING = Watchlist.model_validate(
    {"subjects": [{"id": "all", "name": "the market", "match_all": True}]}
)


class Answered(NamedTuple):
    """One mention: when it, and the raw record behind it, were appended, in ms since 1970."""

    raw: tuple[int, int]
    raw_at: int
    at: int


class Run(NamedTuple):
    """A scorer that has done all, from the moment at which it decoded its first record.

    `began_at` is that moment in ms since 1970, `cpu_seconds` this process's time for one message.
    """

    registry: CollectorRegistry
    began_at: float
    cpu_seconds: float


@contextmanager
def broker() -> Iterator[KafkaSettings]:
    """A real broker of its own, with its data in a temporary folder."""
    with EmbeddedBroker() as running:
        yield KafkaSettings(bootstrap=running.bootstrap)


def fresh_settings(kafka: KafkaSettings, **model: Any) -> Settings:
    """Settings under a prefix of their own, its topics created: no cache, unless `model` says."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}"
    settings = Settings(
        prefix=prefix,
        kafka=kafka,
        mentions_partitions=PARTITIONS,
        raw_topics=(RawTopic(name=f"{prefix}.raw", kind=Kind.NEWS, partitions=PARTITIONS),),
        model=ModelSettings(**{"cache_entries": 0, **model}),
    )
    stamped = {"message.timestamp.type": "LogAppendTime"}
    mentions = TopicSpec(TopicNames(prefix).mentions, PARTITIONS, stamped)
    ensure_topics(kafka, [mentions])
    ensure_topics(kafka, topic_specs(settings))
    return settings


def fill(settings: Settings, values: Sequence[bytes]) -> None:
    """Append values to the raw topic, to its partitions by turns."""
    (topic,) = settings.effective_raw_topics
    with closing(clients.producer(settings.kafka)) as producer:
        for number, value in enumerate(values):
            producer.send(topic.name, value, partition=number % PARTITIONS)
        producer.flush(60)


def pairs_of(values: Sequence[bytes], watchlist: Watchlist = EVERYTHING) -> list[Pair]:
    """What a scorer lets its model read of these values."""
    topic = RawTopic(name="raw", kind=Kind.NEWS)
    reader = Reader(Matcher(watchlist), [topic], {}, ModelSettings().max_tokens)
    readings = [reader.read(RawRecord("raw", 0, n, 0, value)) for n, value in enumerate(values)]
    return [pair for each in readings if isinstance(each, Reading) for pair in each.pairs]


def forward_all(classifier: SentimentClassifier, tokens: Sequence[EncodedPair]) -> None:
    """Score tokenised pairs as the engine does by itself."""
    forward_packed(
        tokens,
        classifier.token_budget,
        classifier.pass_tokens,
        classifier.forward,
        classifier.forwards_at_once,
    )


@contextmanager
def scorer(
    settings: Settings, classifier: SentimentClassifier, watchlist: Watchlist = EVERYTHING
) -> Iterator[CollectorRegistry]:
    """A scorer in a thread of this process; its fault is raised at the end."""
    registry = CollectorRegistry()
    service = ScoreService(settings, watchlist, classifier, registry)
    faults: list[BaseException] = []

    def run() -> None:
        try:
            service.run()
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        service.stop()
        thread.join(60)
    if faults:
        raise faults[0]


def messages_done(registry: CollectorRegistry) -> float:
    """How many messages a scorer has done with."""
    return total(registry, "undertone_score_messages_total")


def total(registry: CollectorRegistry, name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry these labels."""
    return sum(
        sample.value
        for metric in registry.restricted_registry([name]).collect()
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def wait_until(reached: Callable[[], bool], what: str, look_seconds: float = 0.05) -> None:
    """Look now and then; ends the script where it never comes."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise SystemExit(f"not reached within {DEADLINE_SECONDS:.0f} s: {what}")
        time.sleep(look_seconds)


def score_all(
    settings: Settings,
    values: Sequence[bytes],
    classifier: SentimentClassifier,
    watchlist: Watchlist = EVERYTHING,
) -> Run:
    """Fill the raw topic, then score it from its first record to its last."""
    fill(settings, values)
    with scorer(settings, classifier, watchlist) as registry:
        wait_until(lambda: has_begun(registry), "the scorer at work", look_seconds=0.002)
        began_at, began = time.time() * 1000, time.process_time()
        # Looking costs the scorer's own process: rates come from Kafka's stamps, so seldom.
        wait_until(lambda: messages_done(registry) >= len(values), "all messages scored", 0.25)
        spent = time.process_time() - began
    return Run(registry, began_at, spent / len(values))


def has_begun(registry: CollectorRegistry) -> bool:
    """Whether a scorer has begun to decode."""
    return total(registry, "undertone_score_stage_seconds_total", stage="decode") > 0


def real_share(registry: CollectorRegistry) -> float:
    """How many of the processed tokens were no padding."""
    name = "undertone_score_tokens_total"
    return total(registry, name, kind="real") / total(registry, name)


def answered(settings: Settings, mentions: int | None = None) -> list[Answered]:
    """All mentions with their stamps, or the first so many, by their own stamp."""
    (topic,) = settings.effective_raw_topics
    raw_at = {
        (record.partition, record.offset): record.timestamp
        for record in _records(settings.kafka, topic.name)
    }
    found = []
    for record in _records(settings.kafka, TopicNames(settings.prefix).mentions):
        mention = decode_watch_record(record.value)
        if isinstance(mention, Mention):
            place = (mention.raw.partition, mention.raw.offset)
            found.append(Answered(place, raw_at[place], record.timestamp))
    return sorted(found, key=lambda each: each.at)[:mentions]


def appended(consumer: KafkaConsumer, topic: str) -> int:
    """How many records a topic has."""
    return sum(consumer.end_offsets(_places(topic)).values())


def wait_for_mentions(settings: Settings, count: int, what: str) -> None:
    """Wait until so many mentions were appended."""
    topic = TopicNames(settings.prefix).mentions
    with closing(clients.consumer(settings.kafka)) as consumer:
        wait_until(lambda: appended(consumer, topic) >= count, what, look_seconds=0.2)
    # Progress records count too, and are few.
    wait_until(lambda: len(answered(settings)) >= count, what, look_seconds=1.0)


def mentions_a_second(found: Sequence[Answered], began_at: float | None = None) -> float:
    """The rate at which mentions were appended, since a scorer began.

    Without that moment, from the tenth part on: for what answers one message at a time.
    """
    if began_at is not None:
        return len(found) / (found[-1].at - began_at) * 1000
    counted = found[int(len(found) * LEFT_OUT) :]
    return (len(counted) - 1) / max(1, counted[-1].at - counted[0].at) * 1000


def _records(kafka: KafkaSettings, topic: str) -> Iterator[Any]:
    places = _places(topic)
    with closing(clients.consumer(kafka)) as consumer:
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(timeout_ms=500).values():
                yield from records


@contextmanager
def watchlist_file(watchlist: Watchlist = EVERYTHING) -> Iterator[Path]:
    """A watchlist as a file, for processes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "watchlist.yaml"
        path.write_text(watchlist.model_dump_json(exclude_defaults=True))  # JSON is YAML
        yield path


def _places(topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for partition in range(PARTITIONS)]


def score_command(
    settings: Settings, watchlist: Path, engine: str, **model: int
) -> tuple[list[str], dict[str, str]]:
    """`undertone score` as a process: its command line, its environment."""
    command = [sys.executable, "-m", "undertone", "score", "--watchlist", str(watchlist)]
    command += ["--prefix", settings.prefix, "--bootstrap", settings.kafka.bootstrap]
    command += ["--engine", engine, "--metrics-port", "0"]
    topics = [topic.model_dump(mode="json") for topic in settings.effective_raw_topics]
    options = {"cache_entries": 0, **model}
    variables = {
        "UNDERTONE_RAW_TOPICS": json.dumps(topics),
        "UNDERTONE_MENTIONS_PARTITIONS": str(settings.mentions_partitions),
        **{f"UNDERTONE_MODEL__{name.upper()}": str(value) for name, value in options.items()},
    }
    return command, {**os.environ, **variables}
