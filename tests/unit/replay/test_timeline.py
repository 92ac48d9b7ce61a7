"""Trend points in bins: sums and extremes are kept, memory is bounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import HOUR_MS, MINUTE_MS, START_MS
from made_alerts import made_trend_point
from undertone.records import TrendPoint
from undertone.replay.timeline import BINS, Timeline
from undertone.trends.points import columns_of_records

END_MS = START_MS + BINS * MINUTE_MS

_steps = st.lists(
    st.tuples(
        st.integers(0, 20 * MINUTE_MS),
        st.integers(0, 50),
        st.floats(-1, 1),
        st.sampled_from(["news", "social"]),
    ),
    min_size=1,
    max_size=60,
)


def point(at_ms: int, stories: int = 4, score: float = -0.5, **changes: object) -> TrendPoint:
    return made_trend_point(
        window_end=at_ms,
        stories=stories,
        negative=stories,
        neutral=0,
        positive=0,
        mean_score=score if stories else None,
        **changes,
    )


def written(steps: list[tuple[int, int, float, str]]) -> list[TrendPoint]:
    at_ms, points = START_MS, []
    for pause_ms, stories, score, kind in steps:
        at_ms += pause_ms
        points.append(point(at_ms, stories, score, kind=kind))
    return points


def held(points: list[TrendPoint], until_ms: int) -> list[tuple[int, int, float]]:
    """(milliseconds, stories, score sum) of each step of the sum over kinds."""
    result, kinds = [], {}
    for here, after in zip(points, [*points[1:], None], strict=True):
        kinds[here.kind] = here
        end = after.window_end if after else until_ms
        score = sum((each.mean_score or 0.0) * each.stories for each in kinds.values())
        stories = sum(each.stories for each in kinds.values())
        result.append((end - here.window_end, stories, score))
    return result


@given(steps=_steps, known_end=st.booleans())
def test_points_time_and_integrals_are_kept_and_peaks_are_exact(
    steps: list[tuple[int, int, float, str]], known_end: bool
) -> None:
    points = written(steps)
    last_ms = points[-1].window_end
    timeline = Timeline(["acme"], START_MS, max(last_ms, START_MS + 1) if known_end else None)
    for each in points:
        timeline.add(columns_of_records([each]))
    series = timeline.series("acme", "5m")
    assert series is not None
    assert len(series.points) == BINS
    inside = [each for each in points if not known_end or each.window_end < timeline.end_ms()]
    assert series.points.sum() in (len(inside), len(points))
    spans = [span for span in held(points, last_ms) if span[0]]
    assert series.held_ms.sum() == pytest.approx(sum(span for span, _, _ in spans))
    integral = np.nansum(series.stories_mean * series.held_ms)
    assert integral == pytest.approx(sum(span * stories for span, stories, _ in spans))
    if spans:
        assert np.nanmax(series.stories_high) == max(stories for _, stories, _ in spans)
    assert np.nanmax(np.abs(np.nan_to_num(series.mean_score))) <= 1 + 1e-9


def test_the_tone_of_a_bin_is_the_mean_over_its_time_by_stories() -> None:
    timeline = Timeline(["acme"], START_MS, END_MS)
    timeline.add(columns_of_records([point(START_MS, 1, 0.9)]))
    timeline.add(columns_of_records([point(START_MS + MINUTE_MS // 2, 3, -0.5)]))
    timeline.add(columns_of_records([point(START_MS + MINUTE_MS, 0)]))
    series = timeline.series("acme", "5m")
    assert series is not None
    assert series.mean_score[0] == pytest.approx((0.9 - 1.5) / 4)
    assert np.isnan(series.mean_score[1:]).all()


def test_a_value_holds_until_the_next_point_and_no_further_than_the_replay_came() -> None:
    timeline = Timeline(["acme", "other"], START_MS, END_MS)
    timeline.add(columns_of_records([point(START_MS + 2 * MINUTE_MS, 7)]))
    timeline.add(columns_of_records([point(START_MS + 10 * MINUTE_MS, 1, subject="other")]))
    series = timeline.series("acme", "5m")
    assert series is not None
    assert np.isnan(series.stories_high[:2]).all()
    assert (series.stories_high[2:10] == 7).all()
    assert np.isnan(series.stories_high[10:]).all()


def test_a_warm_up_sets_what_holds_at_the_start_and_counts_no_points() -> None:
    timeline = Timeline(["acme"], START_MS, END_MS)
    timeline.add(columns_of_records([point(START_MS - HOUR_MS, 9)]))
    timeline.add(columns_of_records([point(START_MS + MINUTE_MS, 0)]))
    series = timeline.series("acme", "5m")
    assert series is not None
    assert series.stories_high[0] == 9
    assert series.points.sum() == 1


def test_points_after_the_range_and_of_unlisted_subjects_are_left_out() -> None:
    timeline = Timeline(["acme"], START_MS, END_MS)
    timeline.add(columns_of_records([point(END_MS + 1, 9)]))
    timeline.add(columns_of_records([point(START_MS, 9, subject="stranger")]))
    assert timeline.series("acme", "5m") is None
    assert timeline.series("stranger", "5m") is None


def test_memory_stays_the_same_however_long_the_range_grows() -> None:
    timeline = Timeline(["acme"], START_MS)
    for hour in range(5_000):
        timeline.add(columns_of_records([point(START_MS + hour * HOUR_MS, hour % 7)]))
    series = timeline.series("acme", "5m")
    assert series is not None
    assert series.stories_high.shape == (BINS,)
    assert timeline.bin_ms * BINS >= 4_999 * HOUR_MS
    assert series.points.sum() == 5_000


@pytest.mark.parametrize(
    ("span_ms", "window"),
    [(HOUR_MS, "5m"), (30 * HOUR_MS, "1h"), (40 * 24 * HOUR_MS, "24h"), (MINUTE_MS, "5m")],
)
def test_the_window_that_is_drawn_suits_the_range(span_ms: int, window: str) -> None:
    timeline = Timeline(["acme"], START_MS, START_MS + span_ms)
    for name in ("24h", "5m", "1h"):
        timeline.add(columns_of_records([point(START_MS, window=name)]))
    assert timeline.best_window() == window
    assert timeline.windows() == (window,)


def test_all_windows_are_kept_while_the_end_is_unknown() -> None:
    timeline = Timeline(["acme"], START_MS)
    for name in ("24h", "5m", "1h"):
        timeline.add(columns_of_records([point(START_MS, window=name)]))
    assert timeline.windows() == ("5m", "1h", "24h")
