"""The life of an alert: idle → holding → firing → cooling down → idle. One event, one alert.

Pure: takes where a rule stands, how its conditions stand now, and returns what is to be said.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from undertone.alerting.evidence import TippingStory
from undertone.alerting.rules import Rule
from undertone.records import Alert, AlertState, Condition, Severity


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
    """Where one rule stands for one subject; part of the subject's state.

    `severity` and `told_surprise` are those that its alert was last told with; `silent_until_ms` is
    when to look again at what quiet hours have kept back.
    """

    phase: Phase = Phase.IDLE
    since_ms: int = 0
    quiet_since_ms: int | None = None
    told_surprise: float = 0.0
    severity: Severity | None = None
    silent_until_ms: int | None = None
    tipping: TippingStory | None = None
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
    rule: Rule, state: RuleState, standing: Standing, tipping: TippingStory | None, now_ms: int
) -> Step | None:
    """Move `state` to `now_ms` in place and say whether to tell somebody.

    `tipping` is the message that may be said to have tipped the rule at this moment; without one
    nothing fires. The caller builds the alert and puts it into `state.alert`.
    """
    state.silent_until_ms = None
    if state.phase is Phase.COOLING and now_ms >= state.since_ms + rule.cooldown:
        state.phase, state.since_ms = Phase.IDLE, now_ms
    if state.phase is Phase.FIRING:
        return _decide_firing(rule, state, standing, now_ms)
    if state.phase is Phase.COOLING:
        return None
    surprise = standing.strongest.surprise
    severity = rule.severity_at(surprise)
    enough = standing.stories >= rule.min_stories and standing.sources >= rule.min_sources
    if not (standing.holds and enough) or tipping is None or severity is None:
        state.phase, state.tipping = Phase.IDLE, None
        return None
    if state.phase is Phase.IDLE:
        state.phase, state.since_ms, state.tipping = Phase.HOLDING, now_ms, tipping
    if now_ms < state.since_ms + rule.hold or _is_silent(rule, state, severity, now_ms):
        return None
    state.phase, state.since_ms, state.quiet_since_ms = Phase.FIRING, now_ms, None
    state.told_surprise, state.severity = surprise, severity
    return Step.FIRE


def _decide_firing(rule: Rule, state: RuleState, standing: Standing, now_ms: int) -> Step | None:
    surprise = standing.strongest.surprise
    severity = _grown(rule, state, surprise) if standing.holds else None
    if severity is not None:
        state.quiet_since_ms = None
        is_louder = severity is not state.severity
        if is_louder and _is_silent(rule, state, severity, now_ms):
            return None
        state.told_surprise, state.severity = surprise, severity
        return Step.RISE if is_louder else None
    if not standing.quiet:
        state.quiet_since_ms = None
        return None
    if state.quiet_since_ms is None:
        state.quiet_since_ms = now_ms
    if now_ms < state.quiet_since_ms + rule.resolve.hold:
        return None
    state.phase, state.since_ms = Phase.COOLING, now_ms
    return Step.RESOLVE


def _grown(rule: Rule, state: RuleState, surprise: float) -> Severity | None:
    """The severity of a surprise that has grown enough to be looked at; None where it has not.

    It is never a lower one than was told, but may be the same: there is none above critical.
    """
    assert state.severity is not None
    if not isinstance(rule.severity, dict):
        grown = surprise >= state.told_surprise + rule.rises_by
        return next_severity(state.severity) if grown else None
    reached = rule.severity_at(surprise)
    return reached if reached is not None and reached.rank > state.severity.rank else None


def _is_silent(rule: Rule, state: RuleState, severity: Severity, now_ms: int) -> bool:
    """Whether quiet hours keep this back, until the end of which `state` then waits."""
    state.silent_until_ms = rule.silent_until_ms(severity, now_ms)
    return state.silent_until_ms is not None


def next_due_ms(rule: Rule, state: RuleState) -> int | None:
    """When time alone may change where the rule stands; none where only a mention can."""
    if state.phase is Phase.HOLDING:
        return max(state.since_ms + rule.hold, state.silent_until_ms or 0)
    if state.phase is Phase.FIRING and state.quiet_since_ms is not None:
        return state.quiet_since_ms + rule.resolve.hold
    if state.phase is Phase.FIRING:
        return state.silent_until_ms
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


def revise(
    alert: Alert, step: Step, standing: Standing, now_ms: int, severity: Severity | None
) -> Alert:
    """The next revision of a firing alert: risen to `severity`, or resolved."""
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
        changes |= {
            "severity": severity,
            "fired_as": alert.fired_as or alert.severity,
            "escalated_at": now_ms,
        }
    else:
        changes |= {"state": AlertState.RESOLVED, "resolved_at": now_ms}
    return alert.model_copy(update=changes)


def withdraw(alert: Alert, now_ms: int) -> Alert:
    """The last revision of a firing alert whose rule is gone: it says what was said before.

    `now_ms` is when the subject was last looked at.
    """
    changes: dict[str, object] = {
        "revision": alert.revision + 1,
        "state": AlertState.RESOLVED,
        "detected_at": now_ms,
        "resolved_at": now_ms,
    }
    return alert.model_copy(update=changes)
