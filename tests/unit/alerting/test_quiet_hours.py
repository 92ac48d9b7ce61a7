"""Quiet hours: spans of the week by a wall clock, and when each ends."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from undertone.alerting.quiet_hours import QuietHours, parse_span
from undertone.records import Severity, format_instant, parse_instant

NIGHTS = QuietHours(at=("22:00-07:00", "sat-sun"), zone="Europe/London")


def until(quiet: QuietHours, now: str) -> str | None:
    end_ms = quiet.until_ms(parse_instant(now))
    return None if end_ms is None else format_instant(end_ms)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-01-14T21:59:59.999Z", None),
        ("2026-01-14T22:00:00Z", "2026-01-15T07:00:00Z"),
        ("2026-01-15T06:59:59.999Z", "2026-01-15T07:00:00Z"),
        ("2026-01-15T07:00:00Z", None),
        ("2026-07-15T06:00:00Z", None),  # in London it is seven
        ("2026-07-15T05:00:00Z", "2026-07-15T06:00:00Z"),
        ("2026-01-17T12:00:00Z", "2026-01-18T00:00:00Z"),  # Saturday; Sunday is asked for then
        ("2026-01-18T23:00:00Z", "2026-01-19T07:00:00Z"),  # Sunday night is a night
    ],
)
def test_a_span_ends_by_the_wall_clock_of_its_zone(now: str, end: str | None) -> None:
    assert until(NIGHTS, now) == end


def test_a_night_that_begins_on_named_days_ends_on_the_day_after() -> None:
    fridays = QuietHours(at=("fri 18:00-06:00",))
    assert until(fridays, "2026-01-16T18:00:00Z") == "2026-01-17T06:00:00Z"
    assert until(fridays, "2026-01-17T05:59:00Z") == "2026-01-17T06:00:00Z"
    assert until(fridays, "2026-01-17T18:00:00Z") is None
    assert until(fridays, "2026-01-16T05:00:00Z") is None


def test_days_may_run_over_the_week_and_hours_to_its_midnight() -> None:
    assert parse_span("fri-mon").days == {4, 5, 6, 0}
    assert until(QuietHours(at=("18:00-24:00",)), "2026-01-16T23:00:00Z") == "2026-01-17T00:00:00Z"


def test_the_hour_that_comes_twice_ends_twice_and_is_waited_for() -> None:
    short = QuietHours(at=("00:30-01:30",), zone="Europe/London")
    # On 25 October 2026 at 01:00 UTC clocks in London go back from two to one.
    assert until(short, "2026-10-25T00:10:00Z") == "2026-10-25T00:30:00Z"
    assert until(short, "2026-10-25T00:40:00Z") is None
    assert until(short, "2026-10-25T01:10:00Z") == "2026-10-25T01:30:00Z"


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["Europe/London", "America/New_York", "Asia/Kathmandu", "UTC"]),
    st.sampled_from(
        ["22:00-07:00", "sat-sun", "01:00-02:30", "00:00-24:00", "tue-thu 23:00-01:00"]
    ),
)
def test_the_end_lies_ahead_and_within_a_day_and_an_hour(
    now: datetime, zone: str, span: str
) -> None:
    now_ms = int(now.timestamp()) * 1000
    end_ms = QuietHours(at=(span,), zone=zone).until_ms(now_ms)
    if end_ms is None:
        assert span != "00:00-24:00"
    else:
        assert now_ms < end_ms <= now_ms + 25 * 3_600_000


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("at", [], "at"),
        ("at", ["22-7"], "expected hours, days or both"),
        ("at", [" "], "expected hours, days or both"),
        ("at", ["sun-moon"], "expected hours, days or both"),
        ("at", ["22:00-22:00"], "holds no time"),
        ("at", ["24:00-03:00"], "holds no time"),
        ("at", ["22:00-25:00"], "25:00 is no time of day"),
        ("at", ["22:60-23:00"], "22:60 is no time of day"),
        ("zone", "Europe/Londn", "there is no time zone 'Europe/Londn'"),
        ("zone", "../etc", "there is no time zone"),
        ("zone", "", "there is no time zone"),
        ("below", "info", "nothing is below info"),
        ("zones", "UTC", "did you mean `zone`?"),
    ],
)
def test_a_mistake_says_what_was_expected(field: str, value: object, told: str) -> None:
    good = {"at": ["22:00-07:00"], "zone": "UTC", "below": Severity.CRITICAL}
    QuietHours.model_validate(good)
    with pytest.raises(ValidationError) as error:
        QuietHours.model_validate(good | {field: value})
    assert told in str(error.value)
