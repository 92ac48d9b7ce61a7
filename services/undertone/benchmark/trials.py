"""Settings of a detector held against truth: their figures, the best of them, the frontier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from undertone.alerting.lifecycle import alert_id
from undertone.benchmark.series import Series
from undertone.benchmark.simple_detectors import (
    COOLDOWNS_HOURS,
    CUSTOMARY_COOLDOWN_HOURS,
    Holds,
    Setting,
    SimpleDetector,
    told_at,
)
from undertone.records import (
    Alert,
    AlertState,
    Factors,
    RawPosition,
    Severity,
    Tipping,
)
from undertone.replay.figures import Figures, figures
from undertone.replay.result import rounded
from undertone.trends.windows import HOUR_MS
from undertone.truth import TruthEvent

# What people bear: an alert on each subject every other month.
MOST_ALERTS_A_SUBJECT_MONTH = 0.5
# Settings that tell more often are left out.
MOST_TRIED_A_SUBJECT_MONTH = 4.0


@dataclass(frozen=True)
class Judge:
    """What alerts are held against: the events of the range (None: unknown), and its size."""

    events: Sequence[TruthEvent] | None
    subjects: int
    days: float

    def figures(self, alerts: Sequence[Alert]) -> Figures:
        """What these alerts are worth."""
        return figures(alerts, self.events, subjects=self.subjects, days=self.days)


@dataclass(frozen=True)
class Trial:
    """One setting of a detector and what it gave; `alerts` are counted without their rises."""

    setting: Mapping[str, Any]
    alerts: int
    figures: Figures

    @property
    def found(self) -> int:
        """Events found."""
        return 0 if self.figures.events is None else self.figures.events.found

    @property
    def median_delay_minutes(self) -> float:
        """Of the events found; without any, infinite."""
        events = self.figures.events
        known = None if events is None else events.median_delay_minutes
        return float("inf") if known is None else known

    @property
    def rate(self) -> float:
        """Alerts a subject-month, rises in severity included."""
        return self.figures.alerts_per_subject_month

    def as_json(self) -> dict[str, Any]:
        """One entry of a frontier."""
        events = self.figures.events
        return {
            "setting": dict(self.setting),
            "events": None if events is None else events.as_json(),
            "precision": rounded(self.figures.precision),
            "alerts": self.alerts,
            "alerts_per_subject_month": rounded(self.rate),
            "alerts_per_event": rounded(self.figures.alerts_per_event),
        }


def trial_of(setting: Mapping[str, Any], alerts: Sequence[Alert], judge: Judge) -> Trial:
    """A setting judged by all revisions of its alerts."""
    told = {alert.id for alert in alerts if alert.state is AlertState.FIRING}
    return Trial(setting, len(told), judge.figures(alerts))


def best(trials: Sequence[Trial]) -> Trial:
    """The most events found with at most 0.5 alerts a subject-month; then the least median delay,
    then the fewest alerts. Where none stays within 0.5, the one that comes nearest."""
    within = [trial for trial in trials if trial.rate <= MOST_ALERTS_A_SUBJECT_MONTH]
    if not within:
        return min(trials, key=lambda trial: trial.rate)
    return min(within, key=lambda trial: (-trial.found, trial.median_delay_minutes, trial.rate))


def frontier(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that no other beats in events found, alerts and median delay; fewest alerts first.

    Of trials that are alike in all three, the first.
    """
    kept: list[Trial] = []
    for trial in sorted(trials, key=lambda t: (t.rate, -t.found, t.median_delay_minutes)):
        # Those kept have no more alerts than this one.
        beaten = any(
            other.found >= trial.found and other.median_delay_minutes <= trial.median_delay_minutes
            for other in kept
        )
        if trial.found and not beaten:
            kept.append(trial)
    return kept


def simple_trials(
    detector: SimpleDetector, series: Sequence[Series], settings: Iterable[Setting], judge: Judge
) -> Iterator[Trial]:
    """Each setting with each cooldown, but those that nobody bears by far."""
    for setting in settings:
        holds = [detector.holds(each, setting) for each in series]
        for hours in COOLDOWNS_HOURS:
            alerts = _told(detector.name, series, holds, hours)
            trial = trial_of({**setting, "cooldown_hours": hours}, alerts, judge)
            if trial.rate <= MOST_TRIED_A_SUBJECT_MONTH:
                yield trial


def customary_trial(detector: SimpleDetector, series: Sequence[Series], judge: Judge) -> Trial:
    """The setting that people use of it."""
    hours = CUSTOMARY_COOLDOWN_HOURS
    holds = [detector.holds(each, detector.customary) for each in series]
    alerts = _told(detector.name, series, holds, hours)
    return trial_of({**detector.customary, "cooldown_hours": hours}, alerts, judge)


def _told(
    detector: str, series: Sequence[Series], holds: Sequence[Holds], cooldown_hours: float
) -> list[Alert]:
    """What a simple detector would have told, as alerts without evidence."""
    cooldown_ms = round(cooldown_hours * HOUR_MS)
    return [
        _alert(detector, each.subject, at_ms)
        for each, held in zip(series, holds, strict=True)
        for at_ms in told_at(each.at_ms, held, cooldown_ms)
    ]


# An alert without evidence, of which only what a verdict looks at is filled in.
_BARE = Alert(
    id="",
    rule="",
    rules_version="",
    subject="",
    name="",
    severity=Severity.WARNING,
    state=AlertState.FIRING,
    revision=1,
    started_at=0,
    detected_at=0,
    window="",
    signal="",
    observed=0.0,
    expected=0.0,
    surprise=0.0,
    conditions=(),
    factors=Factors(volume=1.0, tone=1.0, novelty=1.0),
    tipping=Tipping(message_id="", ingested_at=0, raw=RawPosition(topic="", partition=0, offset=0)),
    evidence=(),
    model="",
)


def _alert(detector: str, subject: str, at_ms: int) -> Alert:
    return _BARE.model_copy(
        update={
            "id": alert_id(detector, subject, at_ms),
            "rule": detector,
            "subject": subject,
            "started_at": at_ms,
            "detected_at": at_ms,
        }
    )
