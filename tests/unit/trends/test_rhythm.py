"""A rhythm multiplies a rate, is one on average, and is flat until it has heard something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone.trends.rhythm import DAY_MS, HOUR_MS, Rhythm, is_monday, is_weekend

MONDAY = 18_000 + (4 - (18_000 + 3) % 7 + 3) % 7  # a Monday's number since 1970
SLOTS = st.lists(st.floats(0, 500), min_size=48, max_size=48)
DUE = st.lists(st.floats(0, 500), min_size=2, max_size=2)
INSTANTS = st.integers(MONDAY * DAY_MS, (MONDAY + 40) * DAY_MS)


def test_the_week_begins_on_monday() -> None:
    assert is_monday(MONDAY)
    assert [is_weekend(MONDAY + day) for day in range(7)] == [False] * 5 + [True] * 2


@given(INSTANTS, INSTANTS)
def test_an_unheard_rhythm_is_flat(one: int, other: int) -> None:
    start, end = sorted((one, other))
    assert Rhythm().integral(start, end) == pytest.approx((end - start) / DAY_MS, abs=1e-9)


@given(SLOTS, DUE, INSTANTS)
def test_any_rhythm_is_one_on_average_over_a_week(
    slots: list[float], due: list[float], start: int
) -> None:
    assert Rhythm(slots, due).integral(start, start + 7 * DAY_MS) == pytest.approx(7, rel=1e-9)


@given(SLOTS, INSTANTS, INSTANTS, INSTANTS)
def test_integrals_add_up(slots: list[float], one: int, two: int, three: int) -> None:
    start, middle, end = sorted((one, two, three))
    rhythm = Rhythm(slots)
    parts = rhythm.integral(start, middle) + rhythm.integral(middle, end)
    assert parts == pytest.approx(rhythm.integral(start, end), abs=1e-9)


def test_working_hours_are_learnt() -> None:
    rhythm = Rhythm()
    for day in range(MONDAY, MONDAY + 56):
        if not is_weekend(day):
            rhythm.learn_day(day, [(hour, 2.0) for hour in range(8, 18)], 100 / 7)
        else:
            rhythm.learn_day(day, [], 100 / 7)
        if is_monday(day + 1):
            rhythm.forget_week()
    noon = MONDAY * DAY_MS + 12 * HOUR_MS
    busy = rhythm.integral(noon, noon + HOUR_MS) * 24
    assert busy == pytest.approx(168 / 50, rel=0.1)  # all of a week's stories in 50 of its hours
    assert rhythm.integral(noon + 5 * DAY_MS, noon + 5 * DAY_MS + HOUR_MS) * 24 < 0.12


def test_an_unusual_year_is_half_forgotten_in_half_a_year() -> None:
    rhythm = Rhythm([10.0] * 48, [8.0, 8.0])
    for _week in range(26):
        rhythm.forget_week()
    assert rhythm.slots == pytest.approx([5.0] * 48, rel=0.02)
    assert rhythm.due == pytest.approx([4.0, 4.0], rel=0.02)


@given(st.integers(1, 1_000))
def test_days_that_were_never_listened_to_are_flat(an_hour: int) -> None:
    rhythm = Rhythm()
    rhythm.learn_day(MONDAY, [(hour, float(an_hour)) for hour in range(24)], 24.0 * an_hour)
    assert rhythm.totals == pytest.approx([1.0, 1.0], rel=1e-3)


def test_the_whim_of_one_day_makes_no_rhythm_however_many_its_stories() -> None:
    rhythm = Rhythm()
    rhythm.learn_day(MONDAY, [(12, 100_000.0)], 100_000.0)
    assert max(rhythm.hourly[0]) < 3
    assert min(rhythm.hourly[0]) > 0.5
