"""Trend points: many at once are the same as one by one."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from undertone.records import TrendPoint
from undertone.trends.baseline import Baseline, expect
from undertone.trends.panes import Counts
from undertone.trends.points import TrendReading, columns, columns_of_records
from undertone.watchlist.subjects import Prior

HOUR_MS = 3_600_000

few = st.integers(0, 40)


@st.composite
def readings(draw: st.DrawFn) -> TrendReading:
    """Counts as a window may hold them, beside a baseline that has heard a little."""
    negative, neutral, positive, copies = draw(few), draw(few), draw(few), draw(few)
    stories = negative + neutral + positive
    score = draw(st.integers(-1000 * stories, 1000 * stories))
    counts = Counts(
        stories + copies, stories, negative, neutral, positive, draw(few), score, abs(score)
    )
    baseline = Baseline(at_ms=0)
    baseline.learn(Counts(mentions=9, stories=9, negative=draw(st.integers(0, 9)), neutral=1))
    baseline.advance(draw(st.integers(1, 60)) * HOUR_MS)
    window_ms = draw(st.sampled_from([300_000, HOUR_MS, 24 * HOUR_MS]))
    usual = expect([baseline], Prior(), window_ms, baseline.at_ms)
    return TrendReading("acme", "news", "1h", baseline.at_ms, counts.to_tuple(), usual, draw(few))


@given(st.lists(readings(), min_size=1, max_size=8))
def test_points_as_columns_are_the_same_as_their_records(several: list[TrendReading]) -> None:
    records = [reading.record() for reading in several]
    made, expected = columns(several), columns_of_records(records)
    assert list(made) == list(expected) == list(TrendPoint.model_fields)
    for name, values in made.items():
        for value, known in zip(values, expected[name], strict=True):
            if known is None:
                assert math.isnan(value)
            elif isinstance(known, float):
                assert abs(value - known) <= 0.0011  # either may round a tie its own way
            else:
                assert value == known
