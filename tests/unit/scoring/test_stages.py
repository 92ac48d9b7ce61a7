"""The stages, stepped by hand in one thread: every message ends once, and poison stays alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.errors import KafkaTimeoutError
from kafka.producer.future import FutureProduceResult, FutureRecordMetadata
from kafka.structs import TopicPartition
from prometheus_client import CollectorRegistry

from undertone.errors import BrokerError
from undertone.records import DeadLetter, Kind, Mention
from undertone.scoring.cache import ScoreCache
from undertone.scoring.delivery import Delivery, Sender
from undertone.scoring.handoff import Handoff
from undertone.scoring.ledger import Ledger, Outgoing, Totals
from undertone.scoring.metrics import ScoreMetrics
from undertone.scoring.pipeline import RawRecord, Reader
from undertone.scoring.stages import Decoding, Forwarding, Job, Tokenising
from undertone.settings import RawTopic
from undertone.transport.codec import partition_of, tick_headers
from undertone.transport.topics import TopicNames
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import Watchlist
from undertone_models.classifier import EncodedPair, FloatArray, Pair, StubClassifier

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


class Poisoned(StubClassifier):
    """Fails on every batch that holds a text with the word `poison`, in one of its two halves."""

    def __init__(self, half: str) -> None:
        super().__init__(token_budget=40)
        self._half = half

    def tokenise(self, pairs: Sequence[Pair]) -> list[EncodedPair]:
        if self._half == "tokenise" and any("poison" in pair.text for pair in pairs):
            raise RuntimeError("cannot tokenise")
        encoded = super().tokenise(pairs)
        return [
            each._replace(ids=[*each.ids, 666]) if "poison" in pair.text else each
            for pair, each in zip(pairs, encoded, strict=True)
        ]

    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        if any(666 in pair.ids for pair in batch):
            raise RuntimeError("cannot read")
        return super().forward(batch)


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
    producer: FakeProducer = field(default_factory=FakeProducer)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    faults: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        metrics = ScoreMetrics(self.registry)
        self.ledger = Ledger("t.news", 0, 0, Totals())
        self.source: Handoff[Job] = Handoff(10_000)
        tokenise: Handoff[Job] = Handoff(10_000)
        forward: Handoff[Any] = Handoff(10_000)
        done: Handoff[Job] = Handoff(10_000)
        self.queues: list[Handoff[Any]] = [self.source, tokenise, forward, done]
        cache = ScoreCache("m@1", 100)
        reader = Reader(Matcher(WATCHLIST), [TOPIC], {}, max_tokens=64)
        self.steps: list[Callable[[], bool]] = [
            Decoding(
                reader, cache, metrics, source=self.source, to_tokenise=tokenise, done=done
            ).step,
            Tokenising(self.classifier, metrics, tokenise, forward).step,
            Forwarding(self.classifier, cache, metrics, forward, done).step,
            Delivery(
                Sender(self.producer, self.faults.append),
                metrics,
                done,
                names=TopicNames("t"),
                mentions_partitions=MENTIONS_PARTITIONS,
                model="m@1",
                wall_ms=lambda: 9000,
            ).step,
        ]

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
            for index in range(4):
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


def message(text: str) -> bytes:
    return json.dumps(
        {"source": "wire", "published_at": "2026-01-31T09:30:00Z", "text": text}
    ).encode()


KINDS = {
    "scored": message("Acme wins a prize"),
    "two": message("Acme sues Zenith"),
    "poison": message("Acme poison"),
    "unmatched": message("Nobody is named"),
    "broken": b"{bad",
    "tick": None,
}


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(sorted(KINDS)), max_size=30),
    st.lists(st.integers(0, 3), max_size=40),
    st.sampled_from(["tokenise", "forward"]),
)
def test_every_message_ends_once_and_in_order(
    kinds: list[str], order: list[int], half: str
) -> None:
    pipeline = Pipeline(Poisoned(half))
    for number, kind in enumerate(kinds):
        pipeline.admit(KINDS[kind], tick_headers(6000) if kind == "tick" else ())
        if number < len(order):
            pipeline.step(order[number])
    pipeline.finish()
    totals = pipeline.ledger.totals
    assert pipeline.ledger.next_offset == len(kinds)
    assert totals.scored == kinds.count("scored") + kinds.count("two")
    assert totals.unscored == kinds.count("poison")
    assert totals.unmatched == kinds.count("unmatched")
    assert totals.dead_letters == kinds.count("broken")
    assert totals.read == len(kinds) - kinds.count("tick")
    assert totals.mentions == len(pipeline.mentions)
    offsets = [mention.raw.offset for mention in pipeline.mentions]
    assert offsets == sorted(offsets)


def test_poison_is_alone_unscored() -> None:
    pipeline = Pipeline(Poisoned("forward"))
    for text in ["Acme wins", "Acme poison", "Zenith falls"]:
        pipeline.admit(message(text))
    pipeline.finish()
    assert [mention.status for mention in pipeline.mentions] == ["scored", "unscored", "scored"]
    assert pipeline.mentions[1].p_negative is None


def test_scores_that_are_no_numbers_are_no_scores() -> None:
    class Broken(StubClassifier):
        def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
            return np.full((len(batch), 3), np.nan, dtype=np.float32)

    pipeline = Pipeline(Broken())
    pipeline.admit(message("Acme wins"))
    pipeline.finish()
    assert pipeline.mentions[0].status == "unscored"
    assert pipeline.ledger.totals.unscored == 1


def test_the_same_text_is_read_once() -> None:
    class Counting(StubClassifier):
        read = 0

        def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
            Counting.read += len(batch)
            return super().forward(batch)

    pipeline = Pipeline(Counting())
    for _ in range(5):
        pipeline.admit(message("Acme wins"))
    pipeline.finish()
    pipeline.admit(message("Acme wins"))
    pipeline.finish()
    assert Counting.read == 1
    assert len(pipeline.mentions) == 6


def test_a_mention_goes_to_its_subjects_partition_with_its_arrival_as_time() -> None:
    pipeline = Pipeline(StubClassifier())
    pipeline.admit(message("Acme sues Zenith"))
    pipeline.finish()
    for sent, subject in zip(pipeline.producer.sent, [b"acme", b"zenith"], strict=True):
        assert sent["key"] == subject
        assert sent["partition"] == partition_of(subject, MENTIONS_PARTITIONS)
        assert sent["timestamp_ms"] == 5000


def test_a_dead_letter_keeps_the_record() -> None:
    pipeline = Pipeline(StubClassifier())
    pipeline.admit(b"{bad")
    pipeline.finish()
    (sent,) = pipeline.producer.sent
    letter = DeadLetter.from_json(sent["value"])
    assert (sent["topic"], letter.stage, letter.offset, letter.at) == (
        "t.dead-letters",
        "decode",
        0,
        9000,
    )
    labels = {"stage": "decode"}
    assert pipeline.registry.get_sample_value("undertone_dead_letters_total", labels) == 1


def test_what_was_lost_in_a_rebalance_is_not_sent() -> None:
    pipeline = Pipeline(StubClassifier())
    for _ in range(3):
        pipeline.admit(message("Acme wins"))
    pipeline.step(0)
    pipeline.ledger.dropped = True
    pipeline.finish()
    assert pipeline.producer.sent == []


def test_the_first_refusal_closes_the_producer_and_is_the_fault() -> None:
    faults: list[BaseException] = []
    producer = FakeProducer()
    sender = Sender(producer, faults.append)
    for _ in range(3):
        sender.send(Outgoing("t.mentions", 0, b"k", b"v", 0))
    for future in producer.futures:
        future.failure(KafkaTimeoutError("expired"))
    assert producer.forced
    (fault,) = faults
    assert isinstance(fault, BrokerError)
    assert "expired" in str(fault)
