"""`undertone score` on a real broker, with the stub classifier."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from kafka import TopicPartition
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from undertone.cli import score as score_command
from undertone.errors import BrokerError, ConfigurationError, ModelError, TopicError, UndertoneError
from undertone.records import DeadLetter, Kind, Mention, Progress, RawPosition
from undertone.scoring.accounting import accounting
from undertone.scoring.partitions import Limits
from undertone.scoring.pipeline import RawRecord, Reader, Reading, mentions_of
from undertone.scoring.service import Reloads, ScoreService
from undertone.settings import KafkaSettings, RawTopic, Settings
from undertone.telemetry import Readiness
from undertone.transport import clients
from undertone.transport.codec import decode_watch_record, tick_headers
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.topics import TopicNames, ensure_topics, topic_specs
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import Watchlist, load_watchlist
from undertone_models.answers import valid_scores
from undertone_models.classifier import StubClassifier

pytestmark = pytest.mark.kafka

LIMITS = Limits()
START_MS = 1_221_480_000_000  # 15 September 2008, 12:00 UTC
MENTIONS_PARTITIONS = 3
WATCHLIST = """
subjects:
  - {id: acme, name: Acme Corp, terms: [Acme]}
  - {id: zenith, name: Zenith Air, terms: [Zenith]}
"""
Position = tuple[str, int, int, str]

# A scorer as a process of its own, slowed down, so that a signal meets it at work.
SLOW_SCORER = """
import sys
import typer
import undertone_models.classifier as classifiers
from undertone.cli.score import command
from undertone_models.classifier import StubClassifier
classifiers.load_classifier = lambda *_, **__: StubClassifier(delay_seconds=0.01, token_budget=64)
typer.run(command)
"""


def recorded_settings(broker: EmbeddedBroker, prefix: str) -> Settings:
    """Two recorded raw topics of two partitions each."""
    return Settings(
        prefix=prefix,
        kafka=KafkaSettings(bootstrap=broker.bootstrap),
        mentions_partitions=MENTIONS_PARTITIONS,
        raw_topics=(
            RawTopic(name=f"{prefix}.raw.news", kind=Kind.NEWS, clock="recorded"),
            RawTopic(name=f"{prefix}.raw.social", kind=Kind.SOCIAL, clock="recorded"),
        ),
    )


def watchlist() -> Watchlist:
    import yaml

    return Watchlist.model_validate(yaml.safe_load(WATCHLIST))


def raw_value(number: int) -> bytes:
    """One of a hundred kinds of record: about nobody, one subject or two; or malformed."""
    if number % 50 == 7:
        return b'{"text": "\xff broken'
    who = ("Nobody", "Acme", "Zenith", "Acme and Zenith")[number % 4]
    mood = ("win a prize", "face a lawsuit", "open an office")[number % 3]
    return json.dumps(
        {
            "id": f"m{number}",
            "source": "wire",
            "published_at": "2008-09-15T11:59:00Z",
            "text": f"{who} {mood}, item {number}",
        }
    ).encode()


def send_raw(settings: Settings, numbers: Sequence[int], *, end: bool = True) -> list[RawRecord]:
    """Spread records over all raw partitions, then a tick to each; returns the records."""
    ensure_topics(settings.kafka, topic_specs(settings))
    places = [
        (topic.name, partition)
        for topic in settings.effective_raw_topics
        for partition in range(topic.partitions)
    ]
    futures = []
    with closing(clients.producer(settings.kafka)) as producer:
        for number in numbers:
            topic, partition = places[number % 7 % len(places)]
            value, stamp = raw_value(number), START_MS + number
            future = producer.send(topic, value, partition=partition, timestamp_ms=stamp)
            futures.append((future, value))
        producer.flush(30)
        records = [
            RawRecord(sent.topic, sent.partition, sent.offset, sent.timestamp, value)
            for future, value in futures
            if (sent := future.get(10))
        ]
        if end:
            send_ticks(producer, places, END_MS)
    return records


END_MS = START_MS + 10_000_000


def send_ticks(producer: Any, places: Sequence[tuple[str, int]], instant_ms: int) -> None:
    for topic, partition in places:
        producer.send(
            topic,
            key=b"tick",
            partition=partition,
            headers=tick_headers(instant_ms),
            timestamp_ms=instant_ms,
        )
    producer.flush(30)


def expected_mentions(records: Sequence[RawRecord], settings: Settings) -> dict[Position, Any]:
    """What the pure core makes of the records, without broker or threads."""
    reader = Reader(Matcher(watchlist()), settings.effective_raw_topics, {}, max_tokens=128)
    stub = StubClassifier()
    expected = {}
    for record in records:
        reading = reader.read(record)
        if isinstance(reading, Reading):
            rows = stub.classify(reading.pairs) if reading.pairs else []
            scores = {
                pair: valid_scores(row) for pair, row in zip(reading.pairs, rows, strict=True)
            }
            position = RawPosition(
                topic=record.topic, partition=record.partition, offset=record.offset
            )
            for mention in mentions_of(
                reading, position, scores, ingested_at=record.timestamp_ms, scored_at=0, model="m"
            ):
                expected[place_of(mention)] = essence(mention)
    return expected


def place_of(mention: Mention) -> Position:
    raw = mention.raw
    return raw.topic, raw.partition, raw.offset, mention.subject


def essence(mention: Mention) -> tuple[Any, ...]:
    """All of a mention that two runs must agree on."""
    return (
        mention.message_id,
        mention.status,
        mention.p_negative,
        mention.p_positive,
        mention.ingested_at,
        mention.fingerprint,
        mention.excerpt,
    )


class Log:
    """The mentions topic, read from its start."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        names = TopicNames(settings.prefix)
        self._consumer = clients.consumer(settings.kafka)
        self._consumer.assign(
            [TopicPartition(names.mentions, each) for each in range(MENTIONS_PARTITIONS)]
        )
        self.mentions: list[Mention] = []
        self.complete: dict[int, dict[tuple[str, int], int]] = {
            each: {} for each in range(MENTIONS_PARTITIONS)
        }

    def read_until(self, reached: Callable[[Log], bool], seconds: float = 60) -> None:
        """Read on until something holds of what was read; fail when it never does."""
        for _ in range(int(seconds / 0.2)):
            for partition, records in self._consumer.poll(timeout_ms=200).items():
                for record in records:
                    self._take(partition.partition, record)
            if reached(self):
                return
        pytest.fail(f"not reached: {len(self.mentions)} mentions, complete {self.complete}")

    def _take(self, partition: int, record: Any) -> None:
        decoded = decode_watch_record(record.value)
        if isinstance(decoded, Progress):
            assert record.key is None
            for topic, partitions in decoded.complete_until.items():
                for raw_partition, until in partitions.items():
                    known = self.complete[partition]
                    place = (topic, raw_partition)
                    known[place] = max(until, known.get(place, until))
            assert decoded.expected == {
                topic.name: topic.partitions for topic in self._settings.effective_raw_topics
            }
        else:
            assert record.key == decoded.subject.encode()
            assert record.timestamp == decoded.ingested_at
            self.mentions.append(decoded)

    def is_complete(self) -> bool:
        """Whether every mentions partition knows that every raw partition is scored to the end."""
        return all(
            self.complete[each].get((topic.name, partition), 0) >= END_MS
            for each in range(MENTIONS_PARTITIONS)
            for topic in self._settings.effective_raw_topics
            for partition in range(topic.partitions)
        )

    def applied(self) -> dict[Position, Any]:
        """What a watcher applies: per subject and raw partition, only what is above the last."""
        last: dict[tuple[str, int, str], int] = {}
        applied = {}
        for mention in self.mentions:
            key = (mention.raw.topic, mention.raw.partition, mention.subject)
            if mention.raw.offset > last.get(key, -1):
                last[key] = mention.raw.offset
                applied[place_of(mention)] = essence(mention)
        return applied

    def close(self) -> None:
        self._consumer.close()


@contextmanager
def scorer(
    settings: Settings,
    classifier: StubClassifier | None = None,
    limits: Limits = LIMITS,
    readiness: Readiness | None = None,
    reloads: Reloads | None = None,
) -> Iterator[CollectorRegistry]:
    """A scorer in a thread, stopped and checked at the end."""
    registry = CollectorRegistry()
    service = ScoreService(
        settings,
        watchlist(),
        classifier or StubClassifier(),
        registry,
        limits=limits,
        readiness=readiness,
        reloads=reloads,
    )
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
    assert not thread.is_alive()
    assert faults == []


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A scorer in a process of its own, ended in any case."""
    started = subprocess.Popen([sys.executable, "-c", SLOW_SCORER, *arguments])
    try:
        yield started
    finally:
        started.kill()
        started.wait(30)


def counted(settings: Settings) -> dict[str, int]:
    """The accounting, without its offsets."""
    found = accounting(settings.kafka, TopicNames(settings.prefix), settings.effective_raw_topics)
    found.pop("committed")
    return found


def expected_counts(records: Sequence[RawRecord], mentions: dict[Position, Any]) -> dict[str, int]:
    dead = sum(record.value is not None and b"broken" in record.value for record in records)
    messages = len({position[:3] for position in mentions})
    return {
        "messages_in": len(records),
        "scored": messages,
        "unscored": 0,
        "unmatched": len(records) - dead - messages,
        "dead_letters": dead,
        "mentions": len(mentions),
    }


def test_every_message_is_accounted_for(broker: EmbeddedBroker, prefix: str) -> None:
    settings = recorded_settings(broker, prefix)
    records = send_raw(settings, range(2000))
    expected = expected_mentions(records, settings)
    with closing(Log(settings)) as log:
        with scorer(settings) as registry:
            log.read_until(Log.is_complete)
        assert {place_of(each): essence(each) for each in log.mentions} == expected
        assert len(log.mentions) == len(expected)
    assert counted(settings) == expected_counts(records, expected)
    assert sum(samples(registry, "messages_total").values()) == len(records)


def test_the_model_is_changed_while_messages_come(broker: EmbeddedBroker, prefix: str) -> None:
    settings = recorded_settings(broker, prefix)
    first, second = Versioned("1", delay_seconds=0.01, token_budget=64), Versioned("2")
    records = send_raw(settings, range(600))
    registry = CollectorRegistry()
    service = ScoreService(settings, watchlist(), first, registry, limits=Limits(records=100))
    thread = threading.Thread(target=service.run, daemon=True)
    with closing(Log(settings)) as log:
        thread.start()
        try:
            log.read_until(lambda log: len(log.mentions) >= 50)
            service.change_models(lambda: {"default": second}).join(30)
            log.read_until(Log.is_complete)
        finally:
            service.stop()
            thread.join(60)
        assert log.applied() == expected_mentions(records, settings)
        # In the raw topic's order: a reader meets the mentions partitions in any order.
        by_place: dict[tuple[str, int], list[str]] = {}
        for mention in sorted(log.mentions, key=lambda each: each.raw.offset):
            by_place.setdefault((mention.raw.topic, mention.raw.partition), []).append(
                mention.model
            )
    models = [model for models in by_place.values() for model in models]
    assert set(models) == {"stub@1", "stub@2"}
    assert all(models == sorted(models) for models in by_place.values())


class Mortal(StubClassifier):
    """Answers while its device lives."""

    dead = True

    def forward(self, batch: Sequence[Any]) -> Any:
        if self.dead:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return super().forward(batch)


def test_a_model_whose_device_died_is_loaded_anew(broker: EmbeddedBroker, prefix: str) -> None:
    settings = recorded_settings(broker, prefix)
    readiness, registry = Readiness(), CollectorRegistry()
    service = ScoreService(
        settings,
        watchlist(),
        Mortal(),
        registry,
        readiness=readiness,
        load_again=lambda route: StubClassifier(),
    )
    records = send_raw(settings, range(200), end=False)
    thread = threading.Thread(target=service.run, daemon=True)
    with closing(Log(settings)) as log:
        thread.start()
        try:
            log.read_until(lambda log: len(log.mentions) >= 50)
            assert {mention.status for mention in log.mentions} == {"unscored"}
            assert "stub@1 does not answer" in (readiness.why_not or "")
            # Messages go on; the first that comes after the wait is read by the model loaded anew.
            number = 1000
            while not any(mention.status == "scored" for mention in log.mentions):
                number += 1
                records += send_raw(settings, [number], end=False)
                log.read_until(lambda log: True)
            send_raw(settings, [])
            log.read_until(Log.is_complete)
        finally:
            service.stop()
            thread.join(60)
    unscored = [mention for mention in log.mentions if mention.status == "unscored"]
    assert len(log.mentions) == len(expected_mentions(records, settings))
    assert counted(settings)["unscored"] == len({place_of(each)[:3] for each in unscored})
    assert samples(registry, "mentions_total")["unscored",] == len(unscored)


def test_a_model_that_stays_dead_ends_the_scorer(broker: EmbeddedBroker, prefix: str) -> None:
    settings = recorded_settings(broker, prefix)
    send_raw(settings, range(50))
    limits = Limits(dead_seconds=0.5)
    service = ScoreService(settings, watchlist(), Mortal(), CollectorRegistry(), limits=limits)
    with pytest.raises(UndertoneError, match=r"stub@1 has not answered for .*launch failure"):
        service.run()


def test_a_scorer_whose_model_hangs_is_not_ready_and_ends(
    broker: EmbeddedBroker, prefix: str
) -> None:
    settings = recorded_settings(broker, prefix)
    send_raw(settings, range(50))
    go_on, readiness = threading.Event(), Readiness()
    hanging = StubClassifier(delay_seconds=1.0, sleep=lambda _seconds: go_on.wait() and None)
    limits = Limits(outage_seconds=0.5, stuck_seconds=2.0, stop_seconds=1.0)
    service = ScoreService(
        settings, watchlist(), hanging, CollectorRegistry(), limits=limits, readiness=readiness
    )
    try:
        with pytest.raises(UndertoneError, match=r"nothing of the \d+ records that were read"):
            service.run()
    finally:
        go_on.set()
    assert "nothing of what was read has been done" in str(readiness.why_not)
    assert counted(settings)["mentions"] == 0


class Versioned(StubClassifier):
    """The stub under another version."""

    def __init__(self, version: str, **options: Any) -> None:
        super().__init__(**options)
        self._version = version

    @property
    def name(self) -> str:
        return f"stub@{self._version}"


def test_malformed_records_are_kept_as_dead_letters(broker: EmbeddedBroker, prefix: str) -> None:
    settings = recorded_settings(broker, prefix)
    records = send_raw(settings, range(120))
    with closing(Log(settings)) as log, scorer(settings):
        log.read_until(Log.is_complete)
    broken = {
        (record.topic, record.partition, record.offset)
        for record in records
        if b"broken" in (record.value or b"")
    }
    place = TopicPartition(TopicNames(prefix).dead_letters, 0)
    with closing(clients.consumer(settings.kafka)) as consumer:
        consumer.assign([place])
        letters: list[DeadLetter] = []
        while len(letters) < len(broken):
            found = consumer.poll(timeout_ms=10_000)
            assert found
            letters += [DeadLetter.from_json(record.value) for record in found[place]]
    assert {(each.topic, each.partition, each.offset) for each in letters} == broken
    assert {each.stage for each in letters} == {"decode"}


def test_a_tick_advances_partitions_without_messages(broker: EmbeddedBroker, prefix: str) -> None:
    settings = recorded_settings(broker, prefix)
    send_raw(settings, [])
    with closing(Log(settings)) as log, scorer(settings):
        log.read_until(Log.is_complete)
        assert log.mentions == []
    assert counted(settings)["messages_in"] == 0


def test_a_silent_live_topic_goes_on_with_the_clock(broker: EmbeddedBroker, prefix: str) -> None:
    settings = Settings(
        prefix=prefix,
        kafka=KafkaSettings(bootstrap=broker.bootstrap),
        mentions_partitions=MENTIONS_PARTITIONS,
    )
    ensure_topics(settings.kafka, topic_specs(settings))

    def has_advanced_twice(log: Log) -> bool:
        places = log.complete[0]
        if len(places) == 4:
            seen.append(min(places.values()))
        return len(set(seen)) >= 2

    seen: list[int] = []
    with closing(Log(settings)) as log, scorer(settings):
        log.read_until(has_advanced_twice)
    assert seen == sorted(seen)


@pytest.mark.slow
def test_a_kill_in_the_middle_loses_and_counts_nothing_twice(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    settings = recorded_settings(broker, prefix)
    records = send_raw(settings, range(3000))
    expected = expected_mentions(records, settings)
    arguments = command_line(settings, tmp_path)
    with closing(Log(settings)) as log:
        with process(*arguments) as first:
            log.read_until(lambda log: len(log.mentions) >= 300)
            first.send_signal(signal.SIGKILL)
            first.wait(30)
        assert counted(settings)["messages_in"] < len(records)
        with process(*arguments) as second:
            log.read_until(Log.is_complete)
            second.send_signal(signal.SIGTERM)
            assert second.wait(30) == 0
        assert log.applied() == expected
    assert counted(settings) == expected_counts(records, expected)


@pytest.mark.slow
@pytest.mark.parametrize("revoke_seconds", [5.0, 0.02])
def test_a_second_scorer_takes_its_share_in_the_middle(
    broker: EmbeddedBroker, prefix: str, revoke_seconds: float
) -> None:
    """With time to finish what is in flight when the second one comes, and without."""
    settings = recorded_settings(broker, prefix)
    records = send_raw(settings, range(1500), end=False)
    slow = {"delay_seconds": 0.01, "token_budget": 64}
    limits = Limits(revoke_seconds=revoke_seconds)
    with closing(Log(settings)) as log:
        with scorer(settings, StubClassifier(**slow), limits) as one:
            log.read_until(lambda log: len(log.mentions) >= 300)
            with scorer(settings, StubClassifier(**slow), limits) as two:
                log.read_until(lambda _: bool(samples(two, "complete_until_seconds")))
                records += send_raw(settings, range(1500, 3000))
                log.read_until(Log.is_complete)
        expected = expected_mentions(records, settings)
        assert log.applied() == expected
    assert counted(settings) == expected_counts(records, expected)
    for registry in (one, two):
        assert sum(samples(registry, "messages_total").values()) >= 500


def samples(registry: CollectorRegistry, name: str) -> dict[Any, float]:
    """The values of one of the scorer's metrics, by labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == f"undertone_score_{name}"
    }


def command_line(settings: Settings, folder: Path) -> list[str]:
    """The options of a scorer process with these settings."""
    config = folder / "undertone.yaml"
    config.write_text(
        json.dumps(
            {
                "prefix": settings.prefix,
                "kafka": {"bootstrap": settings.kafka.bootstrap},
                "mentions_partitions": settings.mentions_partitions,
                "raw_topics": [topic.model_dump(mode="json") for topic in settings.raw_topics],
                "metrics": {"score_port": None},
                "watchlist": "watchlist.yaml",
            }
        )
    )
    (folder / "watchlist.yaml").write_text(WATCHLIST)
    return ["--config", str(config)]


def test_a_topic_that_stamps_otherwise_than_its_clock_is_refused(
    broker: EmbeddedBroker, prefix: str
) -> None:
    settings = recorded_settings(broker, prefix)
    ensure_topics(settings.kafka, topic_specs(settings))
    live = settings.model_copy(
        update={
            "raw_topics": tuple(
                topic.model_copy(update={"clock": "live"}) for topic in settings.raw_topics
            )
        }
    )
    service = ScoreService(live, watchlist(), StubClassifier(), CollectorRegistry())
    with pytest.raises(TopicError, match="stamps with CreateTime"):
        service.run()


def failure_of(*arguments: str) -> UndertoneError:
    """The error that the command ends with."""
    app = typer.Typer()
    app.command()(score_command.command)
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UndertoneError), result.output
    return result.exception


@pytest.fixture
def watchlist_file(tmp_path: Path) -> str:
    path = tmp_path / "watchlist.yaml"
    path.write_text(WATCHLIST)
    assert load_watchlist(path) == watchlist()
    return str(path)


def test_no_watchlist_is_wrong_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(failure_of("--engine", "stub"), ConfigurationError)


def test_an_unreadable_checkpoint_is_told_before_anything_is_read(
    watchlist_file: str, tmp_path: Path
) -> None:
    error = failure_of(
        "--watchlist", watchlist_file, "--engine", "onnx", "--model", str(tmp_path / "none")
    )
    assert isinstance(error, ModelError)
    assert "none" in str(error)


def test_a_metrics_port_in_use_is_told(watchlist_file: str, broker: EmbeddedBroker) -> None:
    port = broker.bootstrap.rpartition(":")[2]
    error = failure_of("--watchlist", watchlist_file, "--engine", "stub", "--metrics-port", port)
    assert port in str(error)


@pytest.mark.slow
def test_no_broker_is_told(watchlist_file: str) -> None:
    error = failure_of(
        *("--watchlist", watchlist_file, "--engine", "stub", "--metrics-port", "0"),
        *("--bootstrap", "127.0.0.1:9"),
    )
    assert isinstance(error, BrokerError)
    assert "127.0.0.1:9" in str(error)


def test_a_scorer_is_ready_from_its_joining_to_its_stopping(
    broker: EmbeddedBroker, prefix: str
) -> None:
    settings, readiness = recorded_settings(broker, prefix), Readiness()
    send_raw(settings, range(20))
    assert readiness.why_not == "it is starting"
    log = Log(settings)
    with scorer(settings, readiness=readiness):
        log.read_until(Log.is_complete)
        assert readiness.why_not is None
    assert readiness.why_not == "it is stopping"
    log.close()
