"""The life of an alert: idle → holding → firing → cooling down → idle. One event, one alert.

Pure: takes where a rule stands, how its conditions stand now, and returns what is to be said.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from undertone.alerting.rules import Rule
from undertone.records import Alert, AlertState, Condition, Severity, Tipping


class Phase(StrEnum):
    """Where a rule stands for one subject."""

    IDLE = "idle"
    HOLDING = "holding"
    FIRING = "firing"
    COOLING = "cooling"


class Step(StrEnum):
    """What a decision asks to be told."""

    FIRE = "fire"
    RISE = "rise"
    RESOLVE = "resolve"


class RuleState(BaseModel):
    """Where one rule stands for one subject; part of the subject's state."""

    phase: Phase = Phase.IDLE
    since_ms: int = 0
    quiet_since_ms: int | None = None
    told_surprise: float = 0.0
    tipping: Tipping | None = None
    alert: Alert | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a rule's conditions stand at one moment."""

    holds: bool
    quiet: bool
    conditions: tuple[Condition, ...]
    stories: int
    sources: int

    @property
    def strongest(self) -> Condition:
        """The condition with the highest surprise; the first of equals."""
        return max(self.conditions, key=lambda condition: condition.surprise)


def decide(
    rule: Rule, state: RuleState, standing: Standing, tipping: Tipping | None, now_ms: int
) -> Step | None:
    """Move `state` to `now_ms` in place and say whether to tell somebody.

    `tipping` is the message that may be said to have tipped the rule at this moment; without one
    nothing fires. The caller builds the alert and puts it into `state.alert`.
    """
    if state.phase is Phase.COOLING and now_ms >= state.since_ms + rule.cooldown:
        state.phase, state.since_ms = Phase.IDLE, now_ms
    if state.phase is Phase.FIRING:
        return _decide_firing(rule, state, standing, now_ms)
    if state.phase is Phase.COOLING:
        return None
    enough = standing.stories >= rule.min_stories and standing.sources >= rule.min_sources
    if not (standing.holds and enough and tipping is not None):
        state.phase, state.tipping = Phase.IDLE, None
        return None
    if state.phase is Phase.IDLE:
        state.phase, state.since_ms, state.tipping = Phase.HOLDING, now_ms, tipping
    if now_ms < state.since_ms + rule.hold:
        return None
    state.phase, state.since_ms, state.quiet_since_ms = Phase.FIRING, now_ms, None
    state.told_surprise = standing.strongest.surprise
    return Step.FIRE


def _decide_firing(rule: Rule, state: RuleState, standing: Standing, now_ms: int) -> Step | None:
    surprise = standing.strongest.surprise
    assert state.alert is not None
    if surprise >= state.told_surprise + rule.rise_by and standing.holds:
        state.told_surprise = surprise
        state.quiet_since_ms = None
        if state.alert.severity is not Severity.CRITICAL:
            return Step.RISE
        return None
    if not standing.quiet:
        state.quiet_since_ms = None
        return None
    if state.quiet_since_ms is None:
        state.quiet_since_ms = now_ms
    if now_ms < state.quiet_since_ms + rule.resolve.hold:
        return None
    state.phase, state.since_ms = Phase.COOLING, now_ms
    return Step.RESOLVE


def next_due_ms(rule: Rule, state: RuleState) -> int | None:
    """When time alone may change where the rule stands; none where only a mention can."""
    if state.phase is Phase.HOLDING:
        return state.since_ms + rule.hold
    if state.phase is Phase.FIRING and state.quiet_since_ms is not None:
        return state.quiet_since_ms + rule.resolve.hold
    if state.phase is Phase.COOLING:
        return state.since_ms + rule.cooldown
    return None


def alert_id(rule: str, subject: str, started_at: int) -> str:
    """The identity of an alert: the same rule, subject and start are the same alert."""
    return hashlib.sha256(f"{rule}\n{subject}\n{started_at}".encode()).hexdigest()[:20]


def next_severity(severity: Severity) -> Severity:
    """One step louder; critical stays."""
    ladder = list(Severity)
    return ladder[min(severity.rank + 1, len(ladder) - 1)]


def revise(alert: Alert, step: Step, standing: Standing, now_ms: int) -> Alert:
    """The next revision of a firing alert: risen in severity, or resolved."""
    strongest = standing.strongest
    changes: dict[str, object] = {
        "revision": alert.revision + 1,
        "detected_at": now_ms,
        "window": strongest.window,
        "signal": strongest.signal,
        "observed": strongest.observed,
        "expected": strongest.expected,
        "surprise": strongest.surprise,
        "conditions": standing.conditions,
    }
    if step is Step.RISE:
        changes |= {"severity": next_severity(alert.severity), "escalated_at": now_ms}
    else:
        changes |= {"state": AlertState.RESOLVED, "resolved_at": now_ms}
    return alert.model_copy(update=changes)
