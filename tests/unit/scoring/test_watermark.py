"""`complete_until` is true whoever publishes it and however late, and never goes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from undertone.scoring.watermark import LIVE_SKEW_MS, Watermark


def test_a_recorded_partition_is_complete_until_its_greatest_stamp() -> None:
    mark = Watermark("recorded")
    assert mark.complete_until is None
    assert not mark.settle(0, None)
    assert mark.settle(5, 1000)
    assert mark.complete_until == 1000
    assert not mark.settle(6, 1000)


def test_a_live_partition_is_complete_once_its_end_of_then_is_done() -> None:
    mark = Watermark("live")
    mark.claim(100_000, end_offset=7)
    assert not mark.settle(6, 99_999)
    assert mark.settle(7, 99_999)
    assert mark.complete_until == 100_000 - LIVE_SKEW_MS


def test_a_silent_live_partition_goes_on_with_the_clock() -> None:
    mark = Watermark("live")
    for second in range(3):
        mark.claim(100_000 + 1000 * second, end_offset=0)
        assert mark.settle(0, None)
    assert mark.complete_until == 102_000 - LIVE_SKEW_MS


def test_the_newest_claim_that_is_met_counts() -> None:
    mark = Watermark("live")
    for second, end in enumerate([5, 8, 20]):
        mark.claim(100_000 + 1000 * second, end)
    mark.settle(10, None)
    assert mark.complete_until == 101_000 - LIVE_SKEW_MS


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 50), st.integers(0, 50))))
def test_it_never_goes_back(steps: list[tuple[int, int, int]]) -> None:
    mark, reached = Watermark("live"), -(10**9)
    for asked_at, end, done in steps:
        mark.claim(asked_at, end)
        mark.settle(done, None)
        if mark.complete_until is not None:
            assert mark.complete_until >= reached
            reached = mark.complete_until
