"""The stages, stepped by hand in one thread: every message ends once, and poison stays alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.errors import KafkaTimeoutError

from stepped_pipeline import (
    MENTIONS_PARTITIONS,
    FakeProducer,
    Named,
    Pipeline,
    message,
)
from undertone.errors import BrokerError
from undertone.records import DeadLetter
from undertone.scoring.delivery import Sender
from undertone.scoring.ledger import Outgoing
from undertone.transport.codec import partition_of, tick_headers
from undertone_models.classifier import EncodedPair, FloatArray, Pair, StubClassifier


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


class LittleMemory(StubClassifier):
    """Has room for a few rows only; keeps the size of each batch that it has read."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.read, self.refused = room, list[int](), 0

    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        if len(batch) > self.room:
            self.refused += 1
            raise MemoryError
        self.read.append(len(batch))
        return super().forward(batch)


def test_memory_that_runs_out_halves_the_batches_and_loses_nothing() -> None:
    model = LittleMemory(room=4)
    pipeline = Pipeline(model)
    for _ in range(2):
        for number in range(16):
            pipeline.admit(message(f"Acme wins {number} {len(pipeline.mentions)}"))
        pipeline.finish()
    assert [mention.status for mention in pipeline.mentions] == ["scored"] * 32
    assert model.read == [4] * 8
    assert model.refused == 2  # 16 and 8 at first; the budget stays as it has become


def test_a_row_that_does_not_fit_alone_is_a_fault() -> None:
    pipeline = Pipeline(LittleMemory(room=0))
    pipeline.admit(message("Acme wins"))
    with pytest.raises(MemoryError):
        pipeline.finish()


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


def test_each_language_has_its_model_and_no_batch_mixes_them() -> None:
    english, chinese = Named("en@1", 10_000), Named("zh@1", 1)
    pipeline = Pipeline(english, {"zh": chinese})
    for number in range(6):
        pipeline.admit(message(f"Acme wins {number}"))
        pipeline.admit(message(f"Acme 大跌 {number}"))
    pipeline.finish()
    assert [mention.model for mention in pipeline.mentions] == ["en@1", "zh@1"] * 6
    assert [mention.p_negative for mention in pipeline.mentions] == [0.0, 1.0] * 6
    assert (english.batches, chinese.batches) == ([6], [1] * 6)


def test_an_answer_is_remembered_for_its_model_alone() -> None:
    english, chinese = Named("en@1", 10_000), Named("zh@1", 10_000)
    pipeline = Pipeline(english, {"zh": chinese})
    for language in ("en", "zh", "en", "zh"):
        pipeline.admit(message("Acme wins", language=language))
        pipeline.finish()
    assert [mention.model for mention in pipeline.mentions] == ["en@1", "zh@1"] * 2
    assert (english.batches, chinese.batches) == ([1], [1])
