"""Pairs of many requests share batches; each gets its own answer, or fails alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from undertone.pulse import Pulse
from undertone.serving.batcher import Batcher, ScoresOfPairs, UnavailableError
from undertone.serving.metrics import ServeMetrics
from undertone_models.classifier import EncodedPair, FloatArray, Pair, StubClassifier

POISON_ID = 666


class Counting(StubClassifier):
    """Keeps the size of every batch, and fails on texts that hold a poisonous word."""

    def __init__(self, token_budget: int = 4096) -> None:
        super().__init__(token_budget=token_budget)
        self.batches: list[int] = []
        self.padded: list[int] = []

    def tokenise(self, pairs: Sequence[Pair]) -> list[EncodedPair]:
        if any("unreadable" in pair.text for pair in pairs):
            raise RuntimeError("cannot tokenise")
        return [
            each._replace(ids=[*each.ids, POISON_ID]) if "poison" in pair.text else each
            for pair, each in zip(pairs, super().tokenise(pairs), strict=True)
        ]

    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        if any(POISON_ID in each.ids for each in batch):
            raise RuntimeError("cannot read")
        self.batches.append(len(batch))
        self.padded.append(len(batch) * max(len(each.ids) for each in batch))
        return super().forward(batch)


class OutOfMemory(StubClassifier):
    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        raise MemoryError


class NoDistribution(StubClassifier):
    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        return np.full((len(batch), 3), np.nan, dtype=np.float32)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def batcher_of(
    classifier: StubClassifier, registry: CollectorRegistry | None = None, queue_pairs: int = 1000
) -> Batcher:
    metrics = ServeMetrics(registry or CollectorRegistry())
    return Batcher(Pulse(classifier), metrics, queue_pairs)


def alone(text: str) -> tuple[float, ...]:
    """What the classifier says of a text by itself."""
    return tuple(StubClassifier().classify([Pair(text)])[0].tolist())


def now(future: Future[ScoresOfPairs]) -> ScoresOfPairs:
    """The result, which must be there."""
    return future.result(timeout=0)


def test_what_queued_meanwhile_shares_one_forward_pass() -> None:
    classifier = Counting()
    batcher = batcher_of(classifier)
    futures = [batcher.submit([Pair("bad " * n)]) for n in range(1, 21)]
    assert batcher.step()
    assert classifier.batches == [20]
    assert [now(future) for future in futures] == [[alone("bad " * n)] for n in range(1, 21)]


def test_a_lone_pair_is_answered_in_one_step() -> None:
    batcher = batcher_of(Counting())
    future = batcher.submit([Pair("good")])
    batcher.step()
    assert now(future) == [alone("good")]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=5), min_size=1, max_size=30),
    st.integers(8, 200),
)
def test_every_request_gets_its_own_answers_in_its_own_order(
    requests: list[list[int]], token_budget: int
) -> None:
    classifier = Counting(token_budget)
    batcher = batcher_of(classifier)
    futures = [batcher.submit([Pair("bad " * n) for n in lengths]) for lengths in requests]
    batcher.close()
    while batcher.step():
        pass
    for lengths, future in zip(requests, futures, strict=True):
        assert now(future) == [alone("bad " * n) for n in lengths]
    assert all(
        padded <= token_budget or size == 1
        for size, padded in zip(classifier.batches, classifier.padded, strict=True)
    )


@pytest.mark.parametrize("poison", ["poison", "unreadable"])
def test_a_poisoned_pair_fails_alone(poison: str, registry: CollectorRegistry) -> None:
    batcher = batcher_of(Counting(), registry)
    futures = [
        batcher.submit([Pair("good")]),
        batcher.submit([Pair("bad"), Pair(poison), Pair("good")]),
        batcher.submit([Pair(poison)]),
    ]
    batcher.step()
    good, bad = alone("good"), alone("bad")
    assert [now(future) for future in futures] == [[good], [bad, None, good], [None]]
    name = "undertone_serve_pairs_total"
    assert registry.get_sample_value(name, {"outcome": "scored"}) == 3
    assert registry.get_sample_value(name, {"outcome": "failed"}) == 2


def test_what_is_no_distribution_is_no_answer() -> None:
    batcher = batcher_of(NoDistribution())
    future = batcher.submit([Pair("good")])
    batcher.step()
    assert now(future) == [None]


def test_without_room_for_all_pairs_of_a_request_none_is_taken() -> None:
    batcher = batcher_of(Counting(), queue_pairs=3)
    taken = batcher.submit([Pair("good"), Pair("bad")])
    with pytest.raises(UnavailableError, match="waiting"):
        batcher.submit([Pair("good"), Pair("bad")])
    assert len(batcher) == 2
    batcher.step()
    assert now(taken)
    batcher.submit([Pair("good"), Pair("bad")])


def test_a_request_given_up_is_not_worked_on() -> None:
    classifier = Counting()
    batcher = batcher_of(classifier)
    given_up, wanted = batcher.submit([Pair("bad")]), batcher.submit([Pair("good")])
    assert given_up.cancel()
    batcher.step()
    assert classifier.batches == [1]
    assert now(wanted) == [alone("good")]


def test_memory_that_runs_out_ends_the_thread_and_lets_nobody_wait() -> None:
    batcher = batcher_of(OutOfMemory())
    future = batcher.submit([Pair("good")])
    with pytest.raises(MemoryError):
        batcher.step()
    with pytest.raises(UnavailableError):
        now(future)


def test_what_still_waits_when_it_is_abandoned_fails() -> None:
    batcher = batcher_of(Counting())
    futures = [batcher.submit([Pair("good")] * 300), batcher.submit([Pair("bad")])]
    batcher.step()  # takes a part of the first
    batcher.abandon()
    for future in futures:
        with pytest.raises(UnavailableError):
            now(future)
    with pytest.raises(UnavailableError):
        batcher.submit([Pair("good")])


def test_once_closed_it_scores_what_waits_and_ends() -> None:
    batcher = batcher_of(Counting())
    future = batcher.submit([Pair("good")])
    batcher.close()
    assert batcher.step()
    assert now(future)
    assert not batcher.step()


def test_batches_and_stage_times_are_counted(registry: CollectorRegistry) -> None:
    batcher = batcher_of(Counting(token_budget=8), registry)
    batcher.submit([Pair("bad " * 8), Pair("bad " * 3), Pair("bad")])
    batcher.step()
    value = registry.get_sample_value
    assert value("undertone_serve_batches_total") == 2  # of 8 tokens, and of 3 + 1 in 6
    assert value("undertone_serve_batch_fill_ratio") == pytest.approx(4 / 6)
    for stage in ("tokenise", "forward"):
        seconds = value("undertone_serve_stage_seconds_total", {"stage": stage})
        assert seconds is not None and seconds > 0
