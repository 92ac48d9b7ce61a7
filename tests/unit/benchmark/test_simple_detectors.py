"""The simple detectors, on series made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import DAY_MS, HOUR_MS, MINUTE_MS, START_MS, mention, sketch
from undertone.benchmark.series import Series, SeriesSink
from undertone.benchmark.simple_detectors import (
    SIMPLE_DETECTORS,
    FixedThreshold,
    HourlyZScore,
    SimpleDetector,
    ToneBand,
    told_at,
)

Story = tuple[float, float]  # hours after the stream's beginning, score


def series(*stories: Story) -> Series:
    """Stories of one subject; those that score below −0.5 are negative."""
    scores = np.array([score for _hours, score in stories])
    at_ms = [START_MS + round(hours * HOUR_MS) for hours, _score in stories]
    return Series("acme", START_MS, np.array(at_ms, np.int64), scores < -0.5, scores)


def holds_at(detector: SimpleDetector, told: Sequence[Story], **setting: float) -> list[float]:
    """The hours at which the condition holds."""
    held = detector.holds(series(*told), setting)
    return [hours for (hours, _score), holds in zip(told, held.tolist(), strict=True) if holds]


def test_a_fixed_threshold_counts_negative_stories_of_a_half_open_window() -> None:
    stories = [(0, -0.9), (1, -0.9), (1.5, 0.3), (1.9, -0.9), (2, -0.9), (9, -0.9)]
    setting = {"negative_stories": 3, "mean_score_below": 1.0}
    # The story of hour 1 is exactly an hour old at hour 2: it has left.
    assert holds_at(FixedThreshold(), stories, window_hours=1, **setting) == []
    assert holds_at(FixedThreshold(), stories, window_hours=3, **setting) == [1.9, 2]


def test_a_fixed_threshold_may_ask_for_a_bad_mean_tone_as_well() -> None:
    stories = [(0, -0.9), (0.1, 0.9), (0.2, 0.9), (0.3, -0.9), (0.4, -0.9)]
    setting = {"window_hours": 1, "negative_stories": 2}
    assert holds_at(FixedThreshold(), stories, mean_score_below=1.0, **setting) == [0.3, 0.4]
    assert holds_at(FixedThreshold(), stories, mean_score_below=0.0, **setting) == [0.4]


def test_a_tone_band_holds_where_the_day_lies_below_the_week() -> None:
    # Half −0.2, half 0.2, for six days (σ 0.2); then a day of −0.9.
    quiet = [(6.0 * hour, 0.2 if hour % 2 else -0.2) for hour in range(24)]
    bad = [(150.0 + hour, -0.9) for hour in range(5)]
    detector = ToneBand()
    held = holds_at(detector, [*quiet, *bad], sigmas=0.5, stories=5)
    assert held == [152.0, 153.0, 154.0]
    assert holds_at(detector, quiet, sigmas=0.5, stories=1) == []
    assert holds_at(detector, [*quiet, *bad], sigmas=3.0, stories=1) == []


def test_a_z_score_compares_this_hour_with_the_hours_before_it() -> None:
    # One negative story every second hour for ten days: mean 0.5, σ 0.5 an hour.
    quiet = [(2.0 * hour, -0.9) for hour in range(120)]
    surge = [(240.0 + minute / 60, -0.9) for minute in (1, 2, 3, 4, 5)]
    setting = {"sigmas": 5.0, "negative_stories": 1}
    # More than 0.5 + 5 × 0.5: from the fourth story of the hour on.
    held = holds_at(HourlyZScore(), [*quiet, *surge], **setting)
    assert held == [240 + 4 / 60, 240 + 5 / 60]
    assert holds_at(HourlyZScore(), quiet, **setting) == []


def test_a_z_score_forgets_what_is_older_than_fourteen_days() -> None:
    stormy = [(hour + minute / 60, -0.9) for hour in range(48) for minute in range(8)]
    later = [(48 + 15 * 24 + minute / 60, -0.9) for minute in range(4)]
    setting = {"sigmas": 5.0, "negative_stories": 4}
    assert holds_at(HourlyZScore(), [*stormy, *later], **setting) == [later[-1][0]]


def test_nothing_is_usual_on_the_first_day() -> None:
    stories = [(hour / 10, -0.9) for hour in range(100)]
    assert holds_at(HourlyZScore(), stories, sigmas=0.1, negative_stories=1) == []
    assert holds_at(ToneBand(), [*stories, (11, -1.0)], sigmas=0.0, stories=1) == []


@pytest.mark.parametrize("detector", SIMPLE_DETECTORS, ids=lambda detector: detector.name)
def test_the_customary_setting_names_what_the_grid_names(detector: SimpleDetector) -> None:
    settings = list(detector.settings())
    assert all(setting.keys() == detector.customary.keys() for setting in settings)
    assert len({tuple(setting.values()) for setting in settings}) == len(settings) > 10


@pytest.mark.parametrize("detector", SIMPLE_DETECTORS, ids=lambda detector: detector.name)
@settings(deadline=None)
@given(
    stories=st.lists(
        st.tuples(st.floats(0, 900), st.sampled_from((-0.9, -0.2, 0.4))), min_size=1, max_size=60
    ),
    cut=st.integers(0, 60),
)
def test_no_detector_looks_ahead(detector: SimpleDetector, stories: list[Story], cut: int) -> None:
    ordered = sorted(stories)
    setting = {name: min(value, 1.0) for name, value in detector.customary.items()}
    whole = detector.holds(series(*ordered), setting)
    part = detector.holds(series(*ordered[:cut]), setting)
    assert part.tolist() == whole[:cut].tolist()


def test_nobody_is_told_again_within_the_cooldown() -> None:
    at_ms = np.array([0, 1, 5, 6, 11, 40], np.int64)
    holds = np.array([False, True, True, True, True, False])
    assert told_at(at_ms, holds, cooldown_ms=5) == [1, 6, 11]
    assert told_at(at_ms, holds, cooldown_ms=100) == [1]


def test_copies_and_what_was_not_scored_are_no_stories() -> None:
    sink = SeriesSink()
    sink.add(mention(START_MS, 1, "negative"))
    sink.add(mention(START_MS + MINUTE_MS, 2, "negative", fingerprint=sketch("story 1")))
    sink.add(mention(START_MS + 2 * MINUTE_MS, 3, None))
    sink.add(mention(START_MS + 3 * MINUTE_MS, 4, "positive", subject="globex"))
    sink.add(mention(START_MS + 3 * DAY_MS, 5, "neutral", fingerprint=sketch("story 1")))
    acme, globex = sink.series()
    assert (acme.subject, globex.subject) == ("acme", "globex")
    assert acme.begins_ms == globex.begins_ms == START_MS
    assert acme.at_ms.tolist() == [START_MS, START_MS + 3 * DAY_MS]
    assert acme.negative.tolist() == [True, False]
    assert acme.score.tolist() == [pytest.approx(0.02 - 0.9), pytest.approx(0.0)]
    assert globex.score.tolist() == [pytest.approx(0.9 - 0.02)]
