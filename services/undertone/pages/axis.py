"""The axis of time that charts share: where a moment stands, and which round moments are named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

_MOST_TICKS = 8
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_STEPS_SECONDS = (
    *(_MINUTE * n for n in (1, 2, 5, 10, 20, 30)),
    *(_HOUR * n for n in (1, 2, 4, 6, 12)),
    *(_DAY * n for n in (1, 2, 4, 7, 14)),
)
_STEPS_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1_200, 2_400, 6_000, 12_000)


@dataclass(frozen=True)
class Tick:
    """A mark of the time axis; the major ones stay on a narrow page."""

    at: float  # per cent of the width
    text: str
    major: bool


@dataclass(frozen=True)
class Axis:
    """The range of time that all charts of a report share."""

    from_ms: int
    until_ms: int

    def at(self, moment_ms: int) -> float:
        """Where a moment stands, in per cent of the width, inside 0 to 100."""
        span = max(1, self.until_ms - self.from_ms)
        return round(100 * min(1.0, max(0.0, (moment_ms - self.from_ms) / span)), 2)

    def ticks(self) -> list[Tick]:
        """At most eight round moments; every other one, from the second, is major."""
        span_seconds = (self.until_ms - self.from_ms) / 1000
        moments, form = self._moments(span_seconds)
        ticks = []
        for index, moment in enumerate(moments):
            text = f"{moment.day} {moment:%b}" if form == "day" else moment.strftime(form)
            at = self.at(round(moment.timestamp() * 1000))
            ticks.append(Tick(at, text, major=index % 2 == (len(moments) > 2)))
        return ticks

    def _moments(self, span_seconds: float) -> tuple[list[datetime], str]:
        for step in _STEPS_SECONDS:
            if span_seconds / step <= _MOST_TICKS:
                first = -(-self.from_ms // (step * 1000)) * step
                stamps = range(first, -(-self.until_ms // 1000), step)
                moments = [datetime.fromtimestamp(stamp, UTC) for stamp in stamps]
                if step >= _DAY:
                    return moments, "day"
                return moments, "%H:%M" if span_seconds <= _DAY else "%a %H:%M"
        for months in _STEPS_MONTHS:
            if span_seconds / (months * 30.44 * _DAY) <= _MOST_TICKS:
                break
        return list(self._months(months)), "%Y" if months >= 12 else "%b %Y"

    def _months(self, step: int) -> Iterable[datetime]:
        first = datetime.fromtimestamp(self.from_ms / 1000, UTC)
        last = datetime.fromtimestamp(self.until_ms / 1000, UTC)
        number = -(-(first.year * 12 + first.month - 1) // step) * step
        while number < 9_999 * 12:
            moment = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
            if moment >= last:
                return
            if moment >= first:
                yield moment
            number += step
