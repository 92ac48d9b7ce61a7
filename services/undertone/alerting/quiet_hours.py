"""Quiet hours: when only what is severe enough is told. By the wall clock of a time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from undertone.config_files import ConfigSection
from undertone.records import Severity

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(DAYS)
_SPAN = re.compile(
    rf"(?:(?P<first>{_DAY})(?:-(?P<last>{_DAY}))?)?\s*"
    r"(?:(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d))?"
)
_DAY_MINUTES = 24 * 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_MS = 60_000


class Span(NamedTuple):
    """Minutes of the day, half-open, on some days of the week (0 is Monday).

    An end above 1440 lies on the following day; the days are those on which it begins.
    """

    days: frozenset[int]
    start: int
    end: int


class QuietHours(ConfigSection):
    """Spans of the week in which no alert below a severity fires or rises; resolving is told.

    `at` lists spans: `22:00-07:00` (every night), `sat-sun` (whole days), `fri 18:00-24:00`. A
    span that ends at or before its start ends on the following day.
    """

    at: tuple[str, ...] = Field(min_length=1, max_length=20)
    """`22:00-07:00` (every night), `sat-sun` (whole days), `fri 18:00-24:00`"""
    zone: str = "UTC"
    """whose wall clock they go by, such as `Europe/London`"""
    below: Severity = Severity.CRITICAL
    """nothing below this severity fires or rises in them. What still holds when they end is told
    then; that an alert has ended is told at once
    """

    @field_validator("at")
    @classmethod
    def _spans_are_readable(cls, at: tuple[str, ...]) -> tuple[str, ...]:
        for text in at:
            parse_span(text)
        return at

    @field_validator("zone")
    @classmethod
    def _zone_is_known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (OSError, KeyError, ValueError):  # a folder; no such file; a name that is none
            raise ValueError(
                f"there is no time zone {zone!r}; expected one such as Europe/London or UTC"
            ) from None
        return zone

    @field_validator("below")
    @classmethod
    def _something_is_below(cls, below: Severity) -> Severity:
        if below is Severity.INFO:
            raise ValueError("nothing is below info; expected warning or critical")
        return below

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """What `at` says."""
        return tuple(parse_span(text) for text in self.at)

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def until_ms(self, now_ms: int) -> int | None:
        """The end of a span that holds `now_ms`, later than it; None outside quiet hours.

        Another span may begin before that end: whoever waits for it asks again then.
        """
        now = (_EPOCH + timedelta(milliseconds=now_ms)).astimezone(self._zone)
        minute = 60 * now.hour + now.minute
        for span in self.spans:
            for days_ago in (0, 1):
                if (now.weekday() - days_ago) % 7 not in span.days:
                    continue
                if span.start <= minute + days_ago * _DAY_MINUTES < span.end:
                    return self._instant_ms(now, span.end - days_ago * _DAY_MINUTES, now_ms)
        return None

    def _instant_ms(self, now: datetime, minute: int, now_ms: int) -> int:
        """The instant of a minute counted from the midnight before `now`.

        Where clocks are put back an hour comes twice, and the one meant is the one that `now` is
        in; where they are put forward, an end in the hour that is left out may lie behind.
        """
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        local = midnight + timedelta(minutes=minute)
        end = local.replace(tzinfo=self._zone, fold=now.fold)
        end_ms = (end - _EPOCH) // timedelta(milliseconds=1)
        return end_ms if end_ms > now_ms else now_ms + _MINUTE_MS


def parse_span(text: str) -> Span:
    """`22:00-07:00`, `sat-sun`, `fri 18:00-24:00` → Span. Raises ValueError."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None or not text.strip():
        raise ValueError(
            f"cannot read {text!r}; expected hours, days or both, such as 22:00-07:00, sat-sun "
            "or fri 18:00-24:00"
        )
    first, last = match["first"], match["last"]
    days = range(7)
    if first is not None:
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days = range(begin, end + 1 + (7 if end < begin else 0))
    start_minute, end_minute = 0, _DAY_MINUTES
    if match["start"] is not None:
        start_minute, end_minute = _minute(match["start"], text), _minute(match["end"], text)
        if start_minute in {_DAY_MINUTES, end_minute}:
            raise ValueError(f"{text!r} holds no time; a day's name alone is the whole day")
        if end_minute <= start_minute:
            end_minute += _DAY_MINUTES
    return Span(frozenset(day % 7 for day in days), start_minute, end_minute)


def _minute(text: str, span: str) -> int:
    hour, minute = int(text[:2]), int(text[3:])
    if minute > 59 or 60 * hour + minute > _DAY_MINUTES:
        raise ValueError(f"{span!r}: {text} is no time of day; expected 00:00 to 24:00")
    return 60 * hour + minute
