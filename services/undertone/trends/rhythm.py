"""The daily and weekly rhythm of one subject and kind: when in the week its stories come.

48 slots, the hours of a weekday and of a weekend day (UTC), each with the stories heard in it and
those that were due while it was listened to if the week were flat, both forgotten slowly. A slot's
multiplier is a Gamma–Poisson mean around one (Gelman et al., Bayesian Data Analysis, 3rd ed.,
section 2.6): what was never listened to is flat. A rhythm multiplies a rate: it is 1 on average
over a week, and its integral over any span comes from two cumulative tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import mul

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
HALF_LIFE_DAYS = 180.0
# In each slot, the flat week weighs as much as this many stories, and one day as at most so many:
# stories of one day hang together, and its whim makes no rhythm.
FLAT_STORIES = 0.3
DAY_STORIES = 0.2
# An hour is taken in up to so many times what is due, and a few stories.
_HOUR_TIMES, _HOUR_STORIES = 3.0, 2.0
# 1970-01-01 was a Thursday: the fourth day of its week.
_EPOCH_WEEKDAY = 3
_EPOCH_HOUR = 24 * _EPOCH_WEEKDAY
_EPOCH_MS = HOUR_MS * _EPOCH_HOUR
WEEK_MS = 7 * DAY_MS
_WEEKDAYS = 5
# Of each hour of a week: the weekdays and weekend days before its own, whether that is one of
# the latter, and the hour of the day.
_HOURS = [
    (min(day, _WEEKDAYS), max(day - _WEEKDAYS, 0), day >= _WEEKDAYS, hour)
    for day in range(7)
    for hour in range(24)
]
_WEEKLY_DECAY = 2.0 ** (-7 / HALF_LIFE_DAYS)
# Slots and dues are kept to a thousandth of a story, so that they are short to store.
_DIGITS = 3


class Rhythm:
    """How the rate of stories differs between the hours of the week, learnt day by day."""

    __slots__ = ("_tables", "due", "hourly", "slots", "squares", "totals")

    def __init__(self, slots: Sequence[float] = (), due: Sequence[float] = (0.0, 0.0)) -> None:
        self.slots = [float(value) for value in slots] or [0.0] * 48
        # The same for each hour of a weekday, and of a weekend day, as only whole days are learnt.
        self.due = [float(value) for value in due]
        self._rebuild()

    def _rebuild(self) -> None:
        weekday, weekend = self.slots[:24], self.slots[24:]
        due, weekend_due = self.due[0] + FLAT_STORIES, self.due[1] + FLAT_STORIES
        weekday = [(heard + FLAT_STORIES) / due for heard in weekday]
        weekend = [(heard + FLAT_STORIES) / weekend_due for heard in weekend]
        mean = (_WEEKDAYS * sum(weekday) + (7 - _WEEKDAYS) * sum(weekend)) / 168
        # For a weekday and a weekend day: the multiplier of each hour, the integral from midnight
        # to each hour, the whole day's, and the sum of squares, all but the first in days.
        self.hourly = [each / mean for each in weekday], [each / mean for each in weekend]
        self._tables = [[0.0, *accumulate(hours)] for hours in self.hourly]
        self.totals = [table[24] / 24 for table in self._tables]
        self.squares = [sum(map(mul, hours, hours)) / 576 for hours in self.hourly]

    def learn_day(self, day: int, heard: Iterable[tuple[int, float]], rate: float) -> None:
        """Take in the stories of one whole day (numbered since 1970), pairs of hour and count,
        where a flat week would have brought `rate` stories a day."""
        weekend = is_weekend(day)
        due = rate / 24
        weight = min(1.0, DAY_STORIES / due)
        most = _HOUR_TIMES * due + _HOUR_STORIES
        slots, first = self.slots, 24 * weekend
        for hour, count in heard:
            slots[first + hour] = round(slots[first + hour] + weight * min(count, most), _DIGITS)
        self.due[weekend] = round(self.due[weekend] + weight * due, _DIGITS)
        self._rebuild()

    def forget_week(self) -> None:
        """Forget what a week makes forgotten."""
        if any(self.due):
            self.slots = [round(value * _WEEKLY_DECAY, _DIGITS) for value in self.slots]
            self.due = [round(value * _WEEKLY_DECAY, _DIGITS) for value in self.due]
            self._rebuild()

    def integral(self, start_ms: int, end_ms: int) -> float:
        """∫ rhythm dt over `[start, end)`, in days: the length of the span if it were flat."""
        weeks = (end_ms + _EPOCH_MS) // WEEK_MS - (start_ms + _EPOCH_MS) // WEEK_MS
        length = self._since_monday(end_ms) - self._since_monday(start_ms)
        if not weeks:
            return length
        weekday, weekend = self.totals
        return length + weeks * (5 * weekday + 2 * weekend)

    def _since_monday(self, instant_ms: int) -> float:
        """The integral to an instant from the Monday before it."""
        number, beyond_ms = divmod(instant_ms, HOUR_MS)
        weekdays, weekend_days, weekend, hour = _HOURS[(number + _EPOCH_HOUR) % 168]
        totals, table = self.totals, self._tables[weekend]
        known = table[hour]
        return (weekdays * totals[0] + weekend_days * totals[1]) + (
            known + (table[hour + 1] - known) * (beyond_ms / HOUR_MS)
        ) / 24


def is_weekend(day: int) -> bool:
    """Whether a day, numbered since 1970, is a Saturday or a Sunday."""
    return (day + _EPOCH_WEEKDAY) % 7 >= _WEEKDAYS


def is_monday(day: int) -> bool:
    """Whether a day, numbered since 1970, begins a week."""
    return (day + _EPOCH_WEEKDAY) % 7 == 0
