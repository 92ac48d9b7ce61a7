"""The model's thread: each way in which it is not ready, and that nobody waits for a dead one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest
from prometheus_client import CollectorRegistry

from undertone.errors import ModelError
from undertone.serving.batcher import UnavailableError
from undertone.serving.metrics import ServeMetrics
from undertone.serving.model_thread import DEAD_SECONDS, ModelThread
from undertone_models.classifier import EncodedPair, FloatArray, Pair, StubClassifier

JOIN_SECONDS = 30


class OutOfMemory(StubClassifier):
    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        raise MemoryError


class Dead(StubClassifier):
    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        raise RuntimeError("the device is lost")


def thread_of(
    load: Callable[[], StubClassifier],
    on_end: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> ModelThread:
    metrics = ServeMetrics(CollectorRegistry())
    return ModelThread(load, metrics, queue_pairs=10, on_end=on_end, clock=clock)


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


def test_a_model_that_has_died_is_loaded_anew_though_nobody_asks() -> None:
    now, made = [0.0], [StubClassifier(), Dead()]
    thread = thread_of(made.pop, clock=lambda: now[0])
    thread.start()
    wait_ready(thread)
    assert thread.submit([Pair("good")]).result(JOIN_SECONDS) == [None]
    now[0] = 1.0
    wait_ready(thread)
    (scores,) = thread.submit([Pair("good")]).result(JOIN_SECONDS)
    assert scores is not None
    thread.stop()
    assert ended(thread)


def test_a_model_that_stays_dead_ends_the_thread() -> None:
    now = [0.0]
    thread = thread_of(Dead, clock=lambda: now[0])
    thread.start()
    wait_ready(thread)
    thread.submit([Pair("good")]).result(JOIN_SECONDS)
    now[0] = DEAD_SECONDS + 1
    assert ended(thread)
    assert isinstance(thread.fault, ModelError)
    assert "stub@1 has not answered for 300 s: RuntimeError: the device" in str(thread.fault)


def test_one_that_is_stopped_while_its_model_is_dead_ends() -> None:
    thread = thread_of(Dead)
    thread.start()
    wait_ready(thread)
    thread.submit([Pair("good")]).result(JOIN_SECONDS)
    thread.stop()
    assert ended(thread)
    assert thread.fault is None


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
