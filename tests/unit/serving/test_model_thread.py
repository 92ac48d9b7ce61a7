"""The model's thread: each way in which it is not ready, and that nobody waits for a dead one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest
from prometheus_client import CollectorRegistry

from undertone.serving.batcher import UnavailableError
from undertone.serving.metrics import ServeMetrics
from undertone.serving.model_thread import ModelThread
from undertone_models.classifier import EncodedPair, FloatArray, Pair, StubClassifier

JOIN_SECONDS = 30


class OutOfMemory(StubClassifier):
    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        raise MemoryError


def thread_of(
    load: Callable[[], StubClassifier], on_end: Callable[[], None] = lambda: None
) -> ModelThread:
    return ModelThread(load, ServeMetrics(CollectorRegistry()), queue_pairs=10, on_end=on_end)


def wait_ready(thread: ModelThread) -> None:
    while thread.unready():
        time.sleep(0.002)


def ended(thread: ModelThread) -> bool:
    thread.join(JOIN_SECONDS)
    return not thread.is_alive()


def test_it_is_not_ready_until_the_model_is_loaded() -> None:
    may_load, loading = threading.Event(), threading.Event()

    def load() -> StubClassifier:
        loading.set()
        may_load.wait(JOIN_SECONDS)
        return StubClassifier()

    thread = thread_of(load)
    assert thread.unready() == "the model is loading"
    thread.start()
    loading.wait(JOIN_SECONDS)
    assert (thread.unready(), thread.model) == ("the model is loading", None)
    with pytest.raises(UnavailableError, match="loading"):
        thread.submit([Pair("good")])
    may_load.set()
    wait_ready(thread)
    assert thread.model == "stub@1"
    assert len(thread.submit([Pair("good")]).result(JOIN_SECONDS)) == 1
    thread.stop()
    assert ended(thread)


def test_a_model_that_cannot_be_loaded_is_a_fault() -> None:
    ends: list[str] = []

    def load() -> StubClassifier:
        raise OSError("no such checkpoint")

    thread = thread_of(load, lambda: ends.append("ended"))
    thread.start()
    assert ended(thread)
    assert thread.unready() == "the model has stopped"
    assert isinstance(thread.fault, OSError)
    assert ends == ["ended"]
    with pytest.raises(UnavailableError, match="stopped"):
        thread.submit([Pair("good")])


def test_a_thread_that_a_fault_has_ended_is_not_ready_and_fails_who_waits() -> None:
    thread = thread_of(OutOfMemory)
    thread.start()
    wait_ready(thread)
    future = thread.submit([Pair("good")])
    assert ended(thread)
    with pytest.raises(UnavailableError):
        future.result(0)
    assert thread.unready() == "the model has stopped"
    assert isinstance(thread.fault, MemoryError)


def test_a_stopped_thread_answers_what_waits_and_takes_no_more() -> None:
    thread = thread_of(StubClassifier)
    thread.start()
    wait_ready(thread)
    future = thread.submit([Pair("good")])
    thread.stop()
    assert thread.unready() == "the service is stopping"
    with pytest.raises(UnavailableError, match="stopping"):
        thread.submit([Pair("good")])
    assert ended(thread)
    assert len(future.result(0)) == 1
    assert thread.fault is None


def test_stopping_while_the_model_loads_ends_it() -> None:
    thread = thread_of(StubClassifier)
    thread.stop()
    thread.start()
    assert ended(thread)
    assert thread.fault is None
