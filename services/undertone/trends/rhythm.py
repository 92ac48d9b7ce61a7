"""The daily and weekly rhythm of one subject and kind: when in the week its stories come.

48 slots, the hours of a weekday and of a weekend day (UTC), each with the stories heard in it,
forgotten slowly. A slot's share of the week is a Dirichlet posterior whose prior is the flat week
(Gelman et al., Bayesian Data Analysis, 3rd ed., section 3.4). A rhythm multiplies a rate: it is 1
on average over a week, and its integral over any span comes from two cumulative tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import mul

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
HALF_LIFE_DAYS = 180.0
# The flat week weighs as much as this many stories.
FLAT_STORIES = 20.0
# 1970-01-01 was a Thursday: the fourth day of its week.
_EPOCH_WEEKDAY = 3
_WEEKDAYS = 5
_WEEKLY_DECAY = 2.0 ** (-7 / HALF_LIFE_DAYS)
# Hours of a week ÷ hours of its weekdays that have one number, and the same of its weekend.
_SCALES = (168 / 5, 168 / 2)
# Slots are kept to a thousandth of a story, so that they are short to store.
_DIGITS = 3


class Rhythm:
    """How the rate of stories differs between the hours of the week, learnt day by day."""

    __slots__ = ("_tables", "hourly", "slots", "squares", "totals")

    def __init__(self, slots: Sequence[float] = ()) -> None:
        self.slots = [float(value) for value in slots] or [0.0] * 48
        self._rebuild()

    def _rebuild(self) -> None:
        slots = self.slots
        weight = sum(slots) + FLAT_STORIES
        # For a weekday and a weekend day: the multiplier of each hour, the integral from midnight
        # to each hour, the whole day's, and the sum of squares, all but the first in days.
        self.hourly = [
            [(heard * scale + FLAT_STORIES) / weight for heard in half]
            for scale, half in zip(_SCALES, (slots[:24], slots[24:]), strict=True)
        ]
        self._tables = [list(accumulate([0.0, *hours])) for hours in self.hourly]
        self.totals = [table[24] / 24 for table in self._tables]
        self.squares = [sum(map(mul, hours, hours)) / 576 for hours in self.hourly]

    def learn_day(self, day: int, heard: Iterable[tuple[int, float]]) -> None:
        """Take in the stories of one day (numbered since 1970): pairs of hour and count."""
        first = 24 * is_weekend(day)
        slots = self.slots
        for hour, count in heard:
            slots[first + hour] = round(slots[first + hour] + count, _DIGITS)
        self._rebuild()

    def forget_week(self) -> None:
        """Forget what a week makes forgotten."""
        if any(self.slots):
            self.slots = [round(value * _WEEKLY_DECAY, _DIGITS) for value in self.slots]
            self._rebuild()

    def integral(self, start_ms: int, end_ms: int) -> float:
        """∫ rhythm dt over `[start, end)`, in days: the length of the span if it were flat."""
        start_week, start = self._within_week(start_ms)
        end_week, end = self._within_week(end_ms)
        if end_week == start_week:
            return end - start
        weekday, weekend = self.totals
        return end - start + (end_week - start_week) * (5 * weekday + 2 * weekend)

    def _within_week(self, instant_ms: int) -> tuple[int, float]:
        """The week of an instant, and the integral from its Monday to the instant."""
        day, rest = divmod(instant_ms, DAY_MS)
        week, weekday = divmod(day + _EPOCH_WEEKDAY, 7)
        hour, beyond = divmod(rest, HOUR_MS)
        weekend = weekday >= _WEEKDAYS
        whole = (
            _WEEKDAYS * self.totals[0] + (weekday - _WEEKDAYS) * self.totals[1]
            if weekend
            else weekday * self.totals[0]
        )
        table = self._tables[weekend]
        return week, whole + (
            table[hour] + (table[hour + 1] - table[hour]) * (beyond / HOUR_MS)
        ) / 24


def is_weekend(day: int) -> bool:
    """Whether a day, numbered since 1970, is a Saturday or a Sunday."""
    return (day + _EPOCH_WEEKDAY) % 7 >= _WEEKDAYS


def is_monday(day: int) -> bool:
    """Whether a day, numbered since 1970, begins a week."""
    return (day + _EPOCH_WEEKDAY) % 7 == 0
