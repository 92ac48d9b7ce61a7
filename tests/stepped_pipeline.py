"""The stages of scoring in one thread, stepped by hand; the producer keeps what it is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from kafka.producer.future import FutureProduceResult, FutureRecordMetadata
from kafka.structs import TopicPartition
from prometheus_client import CollectorRegistry

from undertone.handoff import Handoff
from undertone.pulse import Pulse
from undertone.records import Kind, Mention
from undertone.scoring.cache import ScoreCache
from undertone.scoring.delivery import Delivery, Sender
from undertone.scoring.ledger import Ledger, Totals
from undertone.scoring.metrics import ScoreMetrics
from undertone.scoring.pipeline import RawRecord, Reader
from undertone.scoring.routing import LanguageRouter
from undertone.scoring.stages import Decoding, Forwarding, Job, Lane, Model, Tokenising
from undertone.settings import RawTopic
from undertone.transport.topics import TopicNames
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import Watchlist
from undertone_models.classifier import EncodedPair, FloatArray, StubClassifier

WATCHLIST = Watchlist.model_validate(
    {
        "subjects": [
            {"id": "acme", "name": "Acme Corp", "terms": ["Acme"]},
            {"id": "zenith", "name": "Zenith Air", "terms": ["Zenith"]},
        ]
    }
)
TOPIC = RawTopic(name="t.news", kind=Kind.NEWS)
MENTIONS_PARTITIONS = 3


class FakeProducer:
    """Keeps what is sent; the test acknowledges or refuses."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.futures: list[FutureRecordMetadata] = []
        self.forced = False
        self._sender = self

    def send(self, topic: str, **record: Any) -> FutureRecordMetadata:
        place = TopicPartition(topic, record["partition"])
        future = FutureRecordMetadata(FutureProduceResult(place), 0, 0, None, 0, 0, 0)
        self.sent.append({"topic": topic, **record})
        self.futures.append(future)
        return future

    def force_close(self) -> None:
        self.forced = True

    def acknowledge(self) -> None:
        for future in self.futures:
            if not future.is_done:
                future.success(None)


@dataclass
class Pipeline:
    """All stages, wired as the service wires them."""

    classifier: Any
    by_language: dict[str, Any] = field(default_factory=dict)
    producer: FakeProducer = field(default_factory=FakeProducer)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    faults: list[BaseException] = field(default_factory=list)
    load_again: Callable[[], Any] | None = None
    now: float = 0.0

    def __post_init__(self) -> None:
        self.metrics = metrics = ScoreMetrics(self.registry)
        self.ledger = Ledger("t.news", 0, 0, Totals())
        self.source: Handoff[Job] = Handoff(10_000)
        done: Handoff[Job] = Handoff(10_000)
        self.lanes = lanes = {
            route: Lane(
                Model(
                    Pulse(classifier, self.load_again, lambda: self.now),
                    ScoreCache(classifier.name, 100),
                ),
                Handoff(10_000),
                Handoff(10_000),
            )
            for route, classifier in {"default": self.classifier, **self.by_language}.items()
        }
        router = LanguageRouter(self.by_language, lambda text: None if text.isascii() else "zh")
        reader = Reader(Matcher(WATCHLIST), [TOPIC], {}, 64, router)
        delivery = Delivery(
            Sender(self.producer, self.faults.append),
            metrics,
            done,
            names=TopicNames("t"),
            mentions_partitions=MENTIONS_PARTITIONS,
            wall_ms=lambda: 9000,
        )
        self.queues: list[Handoff[Any]] = [self.source]
        self.steps: list[Callable[[], bool]] = [
            Decoding(reader, lanes, metrics, source=self.source, done=done).step
        ]
        for lane in lanes.values():
            self.queues += [lane.to_tokenise, lane.to_forward]
            self.steps += [Tokenising(lane, metrics).step, Forwarding(lane, metrics, done).step]
        self.queues.append(done)
        self.steps.append(delivery.step)

    def admit(self, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        record = RawRecord("t.news", 0, self.ledger.read_offset, 5000, value, headers)
        entry = self.ledger.admit(record)
        assert entry is not None
        self.source.put(Job(self.ledger, entry, record))

    def step(self, index: int) -> None:
        if len(self.queues[index]):
            self.steps[index]()

    def finish(self) -> None:
        while any(len(queue) for queue in self.queues):
            for index in range(len(self.steps)):
                self.step(index)
        self.producer.acknowledge()
        self.ledger.settle()

    @property
    def mentions(self) -> list[Mention]:
        return [
            Mention.from_json(each["value"])
            for each in self.producer.sent
            if each["topic"] == "t.mentions"
        ]


def message(text: str, **fields: str) -> bytes:
    return json.dumps(
        {"source": "wire", "published_at": "2026-01-31T09:30:00Z", "text": text} | fields
    ).encode()


class Named(StubClassifier):
    """A model of its own name, which keeps the texts of each batch that it is given."""

    def __init__(self, name: str, token_budget: int) -> None:
        super().__init__(token_budget=token_budget)
        self._name = name
        self.batches: list[int] = []

    @property
    def name(self) -> str:
        return self._name

    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        self.batches.append(len(batch))
        rows = np.zeros((len(batch), 3), dtype=np.float32)
        rows[:, 0 if self._name == "zh@1" else 2] = 1
        return rows
