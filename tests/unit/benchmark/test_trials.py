"""The best setting, and the frontier of all."""

from __future__ import annotations

import numpy as np

from builders import DAY_MS, HOUR_MS, MINUTE_MS, START_MS
from undertone.benchmark.series import Series
from undertone.benchmark.simple_detectors import FixedThreshold
from undertone.benchmark.trials import Judge, Trial, best, frontier, simple_trials
from undertone.replay.figures import Figures
from undertone.replay.result import EventFigures
from undertone.truth import TruthEvent


def trial(name: str, found: int, delay: float | None, rate: float) -> Trial:
    events = EventFigures(total=7, found=found, median_delay_minutes=delay, worst_delay_minutes=0)
    return Trial({"name": name}, 1, Figures(None, events, (), None, rate, None, None))


def names(trials: list[Trial]) -> list[str]:
    return [str(each.setting["name"]) for each in trials]


def test_the_best_finds_most_within_the_bearable_rate_then_soonest_then_with_fewest() -> None:
    trials = [
        trial("loud", 7, 1.0, 0.51),
        trial("late", 6, 90.0, 0.2),
        trial("soon", 6, 30.0, 0.5),
        trial("soon and rare", 6, 30.0, 0.4),
        trial("blind", 0, None, 0.01),
    ]
    assert best(trials).setting["name"] == "soon and rare"


def test_where_every_setting_is_too_loud_the_best_is_the_least_loud() -> None:
    assert best([trial("a", 7, 1.0, 3.0), trial("b", 2, 9.0, 0.9)]).setting["name"] == "b"


def test_the_frontier_keeps_what_no_other_beats() -> None:
    trials = [
        trial("rare", 2, 500.0, 0.1),
        trial("beaten", 2, 600.0, 0.2),
        trial("beaten by an equal rate", 1, 500.0, 0.1),
        trial("sooner", 2, 50.0, 0.3),
        trial("more", 5, 400.0, 0.4),
        trial("nothing", 0, None, 0.0),
        trial("more again", 5, 400.0, 0.4),
    ]
    assert names(frontier(trials)) == ["rare", "sooner", "more"]


def test_a_simple_detector_is_judged_like_ours() -> None:
    event_ms = START_MS + 10 * DAY_MS
    storm = [event_ms + 10 * MINUTE_MS * number for number in range(5)]
    # A calm year of one subject but for the storm, and one of the other but for a false alarm.
    moments = {"acme": storm, "globex": [START_MS + 5 * HOUR_MS + n for n in range(4)]}
    series = [
        Series(
            name, START_MS, np.array(at, np.int64), np.ones(len(at), np.bool_), -np.ones(len(at))
        )
        for name, at in moments.items()
    ]
    judge = Judge([TruthEvent(subject="acme", start=event_ms, polarity="negative")], 2, 365.0)
    setting = {"window_hours": 1, "negative_stories": 3, "mean_score_below": 0.0}
    trials = list(simple_trials(FixedThreshold(), series, [setting], judge))
    assert [each.setting["cooldown_hours"] for each in trials] == [6, 24, 72, 168]
    figures = trials[0].figures
    assert trials[0].alerts == 2 and trials[0].found == 1
    assert figures.events is not None and figures.events.median_delay_minutes == 20.0
    assert (figures.precision, figures.alerts_per_event) == (0.5, 1.0)


def test_settings_that_nobody_bears_are_left_out() -> None:
    at_ms = np.arange(START_MS, START_MS + 30 * DAY_MS, HOUR_MS, dtype=np.int64)
    always = Series("acme", START_MS, at_ms, np.ones(len(at_ms), np.bool_), -np.ones(len(at_ms)))
    setting = {"window_hours": 24, "negative_stories": 3, "mean_score_below": 0.0}
    judge = Judge([], 1, 30.0)
    kept = list(simple_trials(FixedThreshold(), [always], [setting], judge))
    # Even once in 168 hours is more than four times a month.
    assert [each.setting["cooldown_hours"] for each in kept] == []
    year = Judge([], 12, 30.0)
    kept = list(simple_trials(FixedThreshold(), [always], [setting], year))
    assert [each.setting["cooldown_hours"] for each in kept] == [24, 72, 168]
