"""Sliding windows agree with summing panes by hand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from undertone.settings import PANE_MS
from undertone.trends.panes import Counts, pack, pane_of, unpack
from undertone.trends.windows import HOUR_MS, NEVER_MS, PaneSeries, SlidingWindow, step_of

panes = st.integers(0, 60).map(lambda number: number * PANE_MS)


@settings(deadline=None)
@given(
    st.lists(st.tuples(panes, st.sampled_from(["news", "social"]), panes), max_size=40),
    st.integers(1, 20).map(lambda number: number * PANE_MS),
)
def test_a_sliding_window_equals_the_sum_of_its_panes(
    events: list[tuple[int, str, int]], length: int
) -> None:
    series, added = PaneSeries(), []
    window = SlidingWindow(length, series)
    for pane, kind, end in events:
        series.add(pane, kind, pack(Counts(mentions=1, negative=2)))
        window.note(pane, kind, pack(Counts(mentions=1, negative=2)))
        added.append((pane, kind))
        window.advance(end)
        inside = [k for p, k in added if window.end_ms - length <= p < window.end_ms]
        assert window.sums().mentions == len(inside)
        assert window.sums(["news"]).negative == 2 * inside.count("news")
        assert set(window.by_kind) == set(inside)
        rebuilt = SlidingWindow(length, series, window.end_ms)
        assert rebuilt.sums() == window.sums()


def test_a_window_says_when_its_oldest_pane_leaves() -> None:
    series = PaneSeries()
    window = SlidingWindow(300_000, series)
    series.add(0, "news", pack(Counts(mentions=1)))
    window.advance(PANE_MS)
    leaves = 300_000 + PANE_MS
    assert leaves < window.exit_due_ms == 360_000  # the first step, each a minute, after it left
    window.advance(leaves - PANE_MS)
    assert window.sums().mentions == 1
    window.advance(leaves)
    assert window.sums().mentions == 0
    assert window.exit_due_ms == NEVER_MS and window.step_due_ms == 360_000


def test_steps_are_a_fifth_of_the_window_and_at_most_an_hour() -> None:
    assert [step_of(ms) for ms in (PANE_MS, 300_000, HOUR_MS, 24 * HOUR_MS)] == [
        PANE_MS,
        60_000,
        720_000,
        HOUR_MS,
    ]


counts = st.builds(
    Counts, *[st.integers(0, 10**9)] * 6, st.integers(-(10**12), 10**12), st.integers(0, 10**12)
)


@given(counts, counts)
def test_packed_counts_add_up_like_counts(one: Counts, other: Counts) -> None:
    both = pack(one) + pack(other)
    assert unpack(both - pack(other)) == one.to_tuple()
    one.add(other)
    assert unpack(both) == one.to_tuple()


def test_panes_are_half_open() -> None:
    assert [pane_of(ms) for ms in (0, PANE_MS - 1, PANE_MS)] == [0, 0, PANE_MS]
