"""When a watch worker is ready."""

from __future__ import annotations

from undertone.watch.worker import why_not_ready


def test_a_worker_that_holds_what_it_was_given_is_ready() -> None:
    assert why_not_ready({0: 10, 2: 0}, {0, 2}, recovered=True) is None


def test_a_worker_that_was_given_nothing_is_ready() -> None:
    assert why_not_ready({}, set(), recovered=True) is None


def test_a_worker_without_kafka_is_not_ready() -> None:
    assert why_not_ready(None, {0}, recovered=True) == "Kafka does not answer"


def test_a_worker_that_has_not_joined_or_not_recovered_is_not_ready() -> None:
    assert "has not joined" in str(why_not_ready({}, set(), recovered=False))


def test_a_worker_that_has_yet_to_take_up_a_partition_is_not_ready() -> None:
    said = why_not_ready([2, 0, 1], {0}, recovered=True)
    assert said == "it has yet to take up mentions partitions [1, 2]"
