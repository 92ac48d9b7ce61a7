"""One event, one alert: hold, hysteresis, rise, resolve, cooldown."""

from __future__ import annotations

import pytest

from made_alerts import made_tipping_story
from undertone.alerting.lifecycle import (
    Phase,
    RuleState,
    Standing,
    Step,
    alert_id,
    decide,
    next_due_ms,
    next_severity,
)
from undertone.alerting.rules import Rule
from undertone.records import (
    Alert,
    AlertState,
    Condition,
    Factors,
    Severity,
)

RULE = Rule.model_validate(
    {
        "name": "surge",
        "when": [{"signal": "negative_volume", "window": "1h", "surprise": 4}],
        "min_stories": 3,
        "min_sources": 2,
        "hold": "10s",
        "cooldown": "60s",
        "resolve": {"surprise_below": 2, "for": "30s"},
        "rise_by": 3,
    }
)
TIP = made_tipping_story()


def standing(surprise: float, *, stories: int = 5, sources: int = 2) -> Standing:
    condition = Condition(
        window="1h", signal="negative_volume", observed=stories, expected=1, surprise=surprise
    )
    return Standing(
        holds=surprise >= 4,
        quiet=surprise < 2,
        conditions=(condition,),
        stories=stories,
        sources=sources,
    )


def fired(now_ms: int = 0) -> RuleState:
    state = RuleState()
    decide(RULE, state, standing(5), TIP, now_ms)
    assert decide(RULE, state, standing(5), TIP, now_ms + 10_000) is Step.FIRE
    state.alert = Alert(
        id=alert_id("surge", "acme", 0), rule="surge", rules_version="v", subject="acme",
        name="Acme", severity=Severity.WARNING, state=AlertState.FIRING, revision=1, started_at=0,
        detected_at=0, window="1h", signal="negative_volume", observed=5, expected=1, surprise=5,
        conditions=(), factors=Factors(volume=1, tone=1, novelty=1), tipping=TIP.tipping,
        evidence=(), model="stub@1",
    )  # fmt: skip
    return state


def test_a_condition_must_hold_for_the_whole_hold() -> None:
    state = RuleState()
    assert decide(RULE, state, standing(5), TIP, 0) is None
    assert next_due_ms(RULE, state) == 10_000
    assert decide(RULE, state, standing(1), TIP, 5_000) is None
    assert state.phase is Phase.IDLE
    assert decide(RULE, state, standing(5), TIP, 6_000) is None
    assert decide(RULE, state, standing(5), TIP, 15_000) is None
    assert decide(RULE, state, standing(5), TIP, 16_000) is Step.FIRE


@pytest.mark.parametrize("weak", [standing(9, stories=2), standing(9, sources=1), standing(3.9)])
def test_too_few_stories_or_sources_or_too_little_surprise_fires_nothing(weak: Standing) -> None:
    state = RuleState()
    assert decide(RULE, state, weak, TIP, 0) is None
    assert state.phase is Phase.IDLE


def test_a_firing_alert_is_told_once_while_it_lasts() -> None:
    state = fired()
    for now in range(20_000, 100_000, 10_000):
        assert decide(RULE, state, standing(5), TIP, now) is None


def test_it_rises_only_when_far_above_what_was_told() -> None:
    state = fired()
    assert decide(RULE, state, standing(7.9), TIP, 20_000) is None
    assert decide(RULE, state, standing(8.0), TIP, 30_000) is Step.RISE
    assert decide(RULE, state, standing(8.0), TIP, 40_000) is None


def test_it_resolves_after_being_quiet_long_enough_and_not_in_between() -> None:
    state = fired()
    assert decide(RULE, state, standing(1), TIP, 20_000) is None
    assert decide(RULE, state, standing(3), TIP, 45_000) is None  # hysteresis: not yet quiet
    assert decide(RULE, state, standing(1), TIP, 50_000) is None
    assert next_due_ms(RULE, state) == 80_000
    assert decide(RULE, state, standing(1), TIP, 80_000) is Step.RESOLVE


def test_nothing_fires_during_the_cooldown() -> None:
    state = fired()
    decide(RULE, state, standing(1), TIP, 20_000)
    assert decide(RULE, state, standing(1), TIP, 50_000) is Step.RESOLVE
    assert decide(RULE, state, standing(9), TIP, 60_000) is None
    assert decide(RULE, state, standing(9), TIP, 110_000) is None  # cooled: holds again
    assert decide(RULE, state, standing(9), TIP, 120_000) is Step.FIRE


def test_critical_is_the_loudest() -> None:
    assert next_severity(Severity.INFO) is Severity.WARNING
    assert next_severity(Severity.CRITICAL) is Severity.CRITICAL


def test_an_alert_is_the_same_one_exactly_when_rule_subject_and_start_are() -> None:
    assert alert_id("a", "b", 1) == alert_id("a", "b", 1)
    assert len({alert_id("a", "b", 1), alert_id("a", "b", 2), alert_id("ab", "", 1)}) == 3
