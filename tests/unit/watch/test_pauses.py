"""A process that stood still notices it, whoever looks first."""

from __future__ import annotations

from undertone.watch.pauses import PauseClock


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_gap_longer_than_the_limit_is_a_pause() -> None:
    clock = Clock()
    pauses = PauseClock(5.0, clock)
    for seconds, expected in [(4.9, 0), (5.0, 0), (5.1, 1), (1.0, 1), (60.0, 2)]:
        clock.now += seconds
        assert pauses.pauses() == expected


def test_its_thread_looks_often_and_ends() -> None:
    with PauseClock(1_000.0) as pauses:
        assert pauses.pauses() == 0
