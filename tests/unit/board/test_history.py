"""Trend points become bins: what held, for how long, in a ring that forgets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import HOUR_MS, MINUTE_MS
from made_alerts import START_MS, made_trend_point
from undertone.board.history import BINS, KINDS, WindowHistory, bin_of


def at(moment_ms: int, stories: int, *, kind: str = "news", window: str = "1h", **changes: object):  # type: ignore[no-untyped-def]
    scored = {"negative": stories, "neutral": 0, "positive": 0}
    return made_trend_point(
        window_end=moment_ms, stories=stories, kind=kind, window=window, **(scored | changes)
    )


def test_a_value_holds_until_the_next_one_and_a_bin_keeps_the_highest() -> None:
    history = WindowHistory("1h")
    history.take(at(START_MS, 2))
    history.take(at(START_MS + 90 * MINUTE_MS, 7))
    history.take(at(START_MS + 100 * MINUTE_MS, 0, mean_score=None))
    bins = history.bins(START_MS + 3 * HOUR_MS)
    assert bins is not None
    assert bins.stories_high[-4:].tolist() == [2, 7, 0, 0]
    assert np.isnan(bins.stories_high[:-4]).all()
    assert bins.until_ms == START_MS + 4 * HOUR_MS
    assert bins.until_ms - bins.from_ms == BINS * HOUR_MS


def test_the_tone_of_a_bin_is_weighed_by_stories_and_time() -> None:
    history = WindowHistory("1h")
    history.take(at(START_MS, 1, mean_score=1.0))
    history.take(at(START_MS + 45 * MINUTE_MS, 3, mean_score=-1.0))
    bins = history.bins(START_MS + HOUR_MS)
    assert bins is not None
    assert bins.mean_score[-2] == pytest.approx((45 * 1 - 15 * 3) / (45 + 45))


def test_kinds_are_added_up_and_the_strongest_surprise_is_named() -> None:
    history = WindowHistory("1h")
    history.take(at(START_MS, 2, surprise_negative_volume=1.0, surprise_volume=0.5))
    history.take(at(START_MS, 3, kind="social", surprise_negative_volume=0.2, surprise_volume=3.5))
    standing = history.standing
    assert standing is not None
    assert (standing.stories, standing.surprise, standing.signal) == (5, 3.5, "volume")
    bins = history.bins(START_MS)
    assert bins is not None
    assert bins.stories_high[-1] == 5  # and never a sum of two moments


def test_repeated_and_older_points_change_nothing() -> None:
    history = WindowHistory("1h")
    assert history.take(at(START_MS, 2))
    assert not history.take(at(START_MS, 2))
    assert not history.take(at(START_MS - HOUR_MS, 9))
    assert history.standing is not None
    assert history.standing.stories == 2
    assert history.take(at(START_MS, 3, revision=2))


def test_what_lies_further_back_than_the_ring_is_forgotten() -> None:
    history = WindowHistory("1h")
    history.take(at(START_MS, 9))
    history.take(at(START_MS + 1000 * HOUR_MS, 1))
    bins = history.bins(START_MS + 1000 * HOUR_MS)
    assert bins is not None
    assert bins.stories_high.tolist() == [9] * (BINS - 1) + [1]


def test_there_is_room_for_so_many_kinds() -> None:
    history = WindowHistory("1h")
    assert [history.take(at(START_MS, 1, kind=str(n))) for n in range(KINDS + 1)] == [
        *([True] * KINDS),
        False,
    ]


def test_a_chart_of_its_own_begins_where_something_is_known() -> None:
    history = WindowHistory("1h")
    history.take(at(START_MS, 1))
    bins = history.bins(START_MS + 2 * HOUR_MS)
    assert bins is not None
    assert len(bins.known(fewest=24).stories_high) == 24
    known = bins.known(fewest=1)
    assert (known.from_ms, len(known.mean_score)) == (START_MS, 3)


@pytest.mark.parametrize("window", ["", "0s", "soon"])
def test_a_window_without_a_length_is_refused(window: str) -> None:
    with pytest.raises(ValueError, match=r"duration|length"):
        WindowHistory(window)


@given(
    st.lists(st.tuples(st.integers(1, 40 * 60), st.integers(0, 9)), min_size=1, max_size=40),
    st.integers(0, 40 * 60),
)
def test_bins_are_those_of_all_that_was_seen(steps: list[tuple[int, int]], more: int) -> None:
    """Against the plain definition: every minute's value, in the bin that it falls in."""
    history, moment, values = WindowHistory("1h"), START_MS, {}
    for minutes, stories in steps:
        moment += minutes * MINUTE_MS
        history.take(at(moment, stories))
        values[moment] = stories
    until = moment + more * MINUTE_MS
    bins = history.bins(until)
    assert bins is not None
    expected: dict[int, int] = {}
    held = None
    for minute in range(min(values), until + MINUTE_MS, MINUTE_MS):
        held = values.get(minute, held)
        assert held is not None
        if minute < until or minute == moment:
            number = minute // HOUR_MS
            expected[number] = max(expected.get(number, 0), held)
    if until % HOUR_MS == 0:
        expected.setdefault(until // HOUR_MS, values[moment])
    last = until // HOUR_MS
    told = {
        last - BINS + 1 + n: value
        for n, value in enumerate(bins.stories_high.tolist())
        if not np.isnan(value)
    }
    assert told == {number: high for number, high in expected.items() if number > last - BINS}


def test_bins_are_as_long_as_the_window_but_not_longer_than_four_hours() -> None:
    assert [bin_of(window) for window in ("5m", "1h", "24h")] == [
        5 * MINUTE_MS,
        HOUR_MS,
        4 * HOUR_MS,
    ]
