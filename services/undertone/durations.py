"""Durations as people write them: `10s`, `5m`, `1h`, `7d`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"([0-9]{1,15})\s*(ms|s|m|h|d)")
_DURATION = re.compile(rf"({_PART.pattern}\s*)+")
LONGEST_MS = 36_500 * _UNIT_MS["d"]


def parse_duration(value: object) -> int:
    """`90s`, `5m`, `1h30m`, `7d` → milliseconds. A bare number is refused: it names no unit."""
    if isinstance(value, str):
        text = value.strip().lower()
        if _DURATION.fullmatch(text):
            duration_ms = sum(int(count) * _UNIT_MS[unit] for count, unit in _PART.findall(text))
            if duration_ms > LONGEST_MS:
                raise ValueError(f"{value!r} is longer than a hundred years")
            return duration_ms
    raise ValueError(f"cannot read {value!r} as a duration; expected one such as 10s, 5m, 1h or 7d")


def format_duration(duration_ms: int) -> str:
    """Milliseconds → the shortest exact form: 300000 → `5m`, 86400000 → `24h`."""
    for unit in ("h", "m", "s"):
        if duration_ms and duration_ms % _UNIT_MS[unit] == 0:
            count = duration_ms // _UNIT_MS[unit]
            if unit == "h" and count % 24 == 0 and count > 24:
                return f"{count // 24}d"
            return f"{count}{unit}"
    return f"{duration_ms}ms"


DurationMs = Annotated[
    int, BeforeValidator(parse_duration), PlainSerializer(format_duration, when_used="json")
]
