"""Durations are read as people write them, and always name their unit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone.durations import LONGEST_MS, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("250ms", 250),
        ("10s", 10_000),
        ("5m", 300_000),
        (" 1H ", 3_600_000),
        ("1h30m", 5_400_000),
        ("1 h 30 m", 5_400_000),
        ("7d", 604_800_000),
        ("0s", 0),
    ],
)
def test_a_duration_is_read(text: str, duration_ms: int) -> None:
    assert parse_duration(text) == duration_ms


@pytest.mark.parametrize("value", ["", "5", "m", "-5m", "1.5h", "5 parsecs", "٥m", 300, None, [1]])
def test_anything_else_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(ValueError, match="expected one such as 10s, 5m, 1h or 7d"):
        parse_duration(value)


def test_more_than_a_hundred_years_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than a hundred years"):
        parse_duration("999999999d")


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [(0, "0ms"), (1, "1ms"), (90_000, "90s"), (300_000, "5m"), (86_400_000, "24h")],
)
def test_a_duration_is_written_in_its_shortest_form(duration_ms: int, text: str) -> None:
    assert format_duration(duration_ms) == text


@given(st.integers(0, LONGEST_MS))
def test_what_is_written_reads_back_the_same(duration_ms: int) -> None:
    assert parse_duration(format_duration(duration_ms)) == duration_ms
