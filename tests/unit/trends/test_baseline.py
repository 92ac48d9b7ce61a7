"""Baselines learn what is usual, take a crisis in only in part, and accept what lasts."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from undertone.trends.baseline import Baseline, Expectation, expect
from undertone.trends.panes import Counts
from undertone.trends.rhythm import DAY_MS, HOUR_MS
from undertone.watchlist.subjects import Prior

PANE_MS = 10_000
START_MS = 1_767_571_200_000  # a Monday


def stories(count: int, negative: int = 0) -> Counts:
    """So many stories, each of them read."""
    return Counts(
        mentions=2 * count,
        stories=count,
        negative=negative,
        neutral=count - negative,
        score_millis=-800 * negative,
        score_square_millis=640 * negative,
    )


def hear_days(
    baseline: Baseline, days: int, a_day: float, *, seed: int = 3, share: float = 0.0
) -> None:
    """Poisson counts by the hour, over whole days from `at_ms` on."""
    draw = np.random.default_rng(seed)
    for _hour in range(24 * days):
        baseline.advance(baseline.at_ms + HOUR_MS)
        count = int(draw.poisson(a_day / 24))
        baseline.learn(stories(count, int(draw.binomial(count, share))))


def of_a_day(baseline: Baseline, prior: Prior | None = None) -> Expectation:
    """What the next day should hold."""
    baseline.advance(baseline.at_ms + 1)
    return expect([baseline], prior or Prior(), DAY_MS, baseline.at_ms + DAY_MS - 1)


def test_a_new_subject_expects_what_the_watchlist_says() -> None:
    prior = Prior(stories_per_day=24, negative_share=0.5, mean_score=-0.2)
    usual = expect([Baseline(at_ms=START_MS)], prior, HOUR_MS, START_MS + HOUR_MS)
    assert usual.stories == pytest.approx(1.0)
    assert usual.mentions == pytest.approx(1.0)
    assert usual.negative == pytest.approx(0.5)
    assert usual.negative_share == pytest.approx(0.5)
    assert usual.mean_score == pytest.approx(-0.2)


def test_what_it_expects_of_several_kinds_is_their_sum() -> None:
    one, other = Baseline(at_ms=START_MS), Baseline(at_ms=START_MS)
    hear_days(one, 20, 30.0, share=0.4)
    hear_days(other, 20, 10.0, seed=4)
    both = expect([one, other], Prior(), HOUR_MS, one.at_ms)
    each = [expect([kind], Prior(), HOUR_MS, one.at_ms) for kind in (one, other)]
    assert both.stories == pytest.approx(sum(usual.stories for usual in each))
    assert both.negative == pytest.approx(sum(usual.negative for usual in each))
    assert each[1].negative_share < both.negative_share < each[0].negative_share


def test_it_learns_the_rate_the_share_and_the_copies_that_it_hears() -> None:
    baseline = Baseline(at_ms=START_MS)
    hear_days(baseline, 60, 72.0, share=0.2)
    usual = of_a_day(baseline)
    assert usual.stories == pytest.approx(72.0, rel=0.1)
    assert usual.mentions == pytest.approx(144.0, rel=0.1)
    assert usual.negative == pytest.approx(0.2 * 72.0, rel=0.15)
    assert usual.negative_share == pytest.approx(0.2, abs=0.03)
    assert usual.mean_score == pytest.approx(-0.16, abs=0.03)


def test_it_learns_the_hours_of_the_week() -> None:
    baseline = Baseline(at_ms=START_MS)
    for hour in range(24 * 56):
        baseline.advance(baseline.at_ms + HOUR_MS)
        if 8 <= hour % 24 < 18 and hour // 24 % 7 < 5:
            baseline.learn(stories(4))
    monday = baseline.at_ms
    at_noon = expect([baseline], Prior(), HOUR_MS, monday + 12 * HOUR_MS)
    at_night = expect([baseline], Prior(), HOUR_MS, monday + 3 * HOUR_MS)
    on_sunday = expect([baseline], Prior(), DAY_MS, monday + 7 * DAY_MS)
    on_tuesday = expect([baseline], Prior(), DAY_MS, monday + 2 * DAY_MS)
    assert at_noon.stories == pytest.approx(4.0, rel=0.15)
    assert at_night.stories < 0.1
    assert on_tuesday.stories == pytest.approx(40.0, rel=0.15)
    assert on_sunday.stories < 0.1 * on_tuesday.stories


@settings(deadline=None, max_examples=15)
@given(
    st.floats(math.log(0.5), math.log(20_000)).map(math.exp),
    st.integers(0, 6),
    st.integers(0, 99),
)
@example(15_000.0, 0, 1)
@example(15_000.0, 4, 1)
def test_a_steady_subject_has_no_surprising_hour_whichever_weekday_it_begins_on(
    a_day: float, weekday: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    baseline = Baseline(at_ms=START_MS + weekday * DAY_MS)
    # What is usual shows by the hour: an hour in five tells of all.
    for hour, count in enumerate(draw.poisson(a_day / 24, size=24 * 28).tolist()):
        if hour % 5 == 0 and count:
            end_ms = baseline.at_ms + HOUR_MS
            usual = expect([baseline], Prior(stories_per_day=a_day), HOUR_MS, end_ms)
            assert usual.surprise_of_volume(count) < 5
        baseline.advance(baseline.at_ms + HOUR_MS)
        if count:
            baseline.learn(stories(count))


@pytest.mark.parametrize("a_day", [5, 15_000])
def test_silence_at_weekends_is_learnt_in_three_weeks(a_day: int) -> None:
    baseline = Baseline(at_ms=START_MS)
    draw = np.random.default_rng(2)
    for day in range(21):
        hear_days(baseline, 1, a_day if day % 7 < 5 else 0, seed=int(draw.integers(1_000)))
    monday = baseline.at_ms
    on_monday = expect([baseline], Prior(), DAY_MS, monday + DAY_MS)
    on_saturday = expect([baseline], Prior(), DAY_MS, monday + 6 * DAY_MS)
    assert on_saturday.stories < 0.3 * on_monday.stories
    assert on_monday.stories == pytest.approx(a_day, rel=0.4)


def test_steady_counts_spread_less_than_clumped_ones() -> None:
    steady, clumped = Baseline(at_ms=START_MS), Baseline(at_ms=START_MS)
    draw = random.Random(5)
    for _day in range(120):
        for baseline, clump in ((steady, 1), (clumped, 12)):
            for hour in range(24):
                baseline.advance(baseline.at_ms + HOUR_MS)
                heard = sum(draw.random() < 0.5 / clump for _ in range(12)) * clump
                if hour >= 0 and heard:
                    baseline.learn(stories(heard))
    calm, wild = of_a_day(steady), of_a_day(clumped)
    assert calm.stories == pytest.approx(wild.stories, rel=0.15)
    assert calm.stories_shape > 1.5 * wild.stories_shape


def test_a_crisis_of_a_day_does_not_blind_it() -> None:
    baseline = Baseline(at_ms=START_MS)
    hear_days(baseline, 90, 5.0, share=0.2)
    before = of_a_day(baseline)
    hear_days(baseline, 1, 200.0, seed=9, share=0.9)
    hear_days(baseline, 2, 5.0, seed=10, share=0.2)
    after = of_a_day(baseline)
    assert after.stories < 1.5 * before.stories
    assert after.negative < 2.0 * before.negative
    assert after.stories_shape > 0.3 * before.stories_shape
    assert after.surprise_of_volume(60) > 0.6 * before.surprise_of_volume(60)


@pytest.mark.parametrize("times", [4, 10])
def test_a_level_that_lasts_becomes_usual_within_two_weeks(times: int) -> None:
    baseline = Baseline(at_ms=START_MS)
    hear_days(baseline, 90, 5.0)
    assert of_a_day(baseline).surprise_of_volume(5 * times) > 1.7
    hear_days(baseline, 14, 5.0 * times, seed=11)
    # By default an alert ends below 1.5.
    assert of_a_day(baseline).surprise_of_volume(5 * times) < 1.5


def test_a_young_baseline_takes_its_first_days_in() -> None:
    baseline = Baseline(at_ms=START_MS)
    hear_days(baseline, 4, 240.0)
    assert of_a_day(baseline).stories > 120


def test_without_news_it_returns_to_silence_but_never_to_nothing() -> None:
    baseline = Baseline(at_ms=START_MS)
    hear_days(baseline, 30, 20.0)
    baseline.advance(baseline.at_ms + 365 * DAY_MS)
    usual = of_a_day(baseline)
    assert 0 < usual.stories < 0.2
    assert usual.surprise_of_volume(20) > 3


PANES = st.lists(st.tuples(st.integers(1, 20_000), st.integers(1, 9)), max_size=40)


@given(PANES, st.lists(st.integers(1, 50_000), max_size=30))
def test_how_often_it_is_advanced_changes_no_bit(
    panes: list[tuple[int, int]], stops: list[int]
) -> None:
    straight, stopping = Baseline(at_ms=START_MS), Baseline(at_ms=START_MS)
    waiting = sorted(stops)
    end_ms = START_MS
    for gap, count in panes:
        end_ms += gap * PANE_MS
        straight.advance(end_ms)
        straight.learn(stories(count, count // 2))
        while waiting and START_MS + waiting[0] * PANE_MS <= end_ms:
            stopping.advance(START_MS + waiting.pop(0) * PANE_MS)
        stopping.advance(end_ms)
        stopping.learn(stories(count, count // 2))
    assert straight.to_list() == stopping.to_list()


@given(PANES)
def test_storage_keeps_every_bit(panes: list[tuple[int, int]]) -> None:
    baseline = Baseline(at_ms=START_MS + 7_654_321)
    for gap, count in panes:
        baseline.advance(baseline.at_ms + gap * PANE_MS)
        baseline.learn(stories(count, count // 3))
    stored = json.loads(json.dumps(baseline.to_list()))
    known = Baseline.from_list(stored)
    assert known.to_list() == baseline.to_list()
    for each in (baseline, known):
        each.advance(each.at_ms + 9 * HOUR_MS)
    end_ms = baseline.at_ms + HOUR_MS
    assert expect([known], Prior(), HOUR_MS, end_ms) == expect([baseline], Prior(), HOUR_MS, end_ms)


def test_what_is_stored_is_small() -> None:
    baseline = Baseline(at_ms=START_MS)
    hear_days(baseline, 60, 1000.0, share=0.3)
    baseline.advance(baseline.at_ms + 23 * HOUR_MS)
    assert len(json.dumps(baseline.to_list())) < 2000


@given(
    st.integers(0, 3_599_999 // PANE_MS - 1),
    st.integers(1, 360),
    st.sampled_from([300_000, HOUR_MS, DAY_MS]),
)
def test_an_expectation_stays_within_its_hours(learnt: int, end: int, window_ms: int) -> None:
    baseline = Baseline(at_ms=START_MS)
    hear_days(baseline, 20, 30.0)
    hour_ms = baseline.at_ms
    baseline.advance(hour_ms + PANE_MS)
    first = expect([baseline], Prior(), window_ms, hour_ms + PANE_MS)
    baseline.learn(stories(3, 2))
    baseline.advance(hour_ms + PANE_MS * (learnt + 1))
    assert expect([baseline], Prior(), window_ms, hour_ms + end * PANE_MS) == first
    baseline.advance(hour_ms + HOUR_MS + 1)
    assert expect([baseline], Prior(), window_ms, hour_ms + end * PANE_MS) != first
