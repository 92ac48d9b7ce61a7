"""Truth against found: which events were told, and which alerts tell of none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from undertone.records import Alert, AlertState
from undertone.truth import TruthEvent

HOUR_MS = 3_600_000
# An event is found by an alert on its subject that fires, or rises in severity, between one hour
# before the event begins and a day after it began (or until its end, if that is later).
BEFORE_MS = HOUR_MS
AFTER_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Verdict:
    """Events by whether an alert told of them; alerts (their ids) that tell of no event."""

    found: tuple[TruthEvent, ...]
    missed: tuple[TruthEvent, ...]
    false_alerts: tuple[str, ...]


def judge(events: Sequence[TruthEvent], alerts: Iterable[Alert]) -> Verdict:
    """Hold the alerts against the negative events. An alert that is neither is false."""
    told = [alert for alert in alerts if alert.state is AlertState.FIRING]
    negative = [event for event in events if event.polarity != "positive"]
    found = tuple(event for event in negative if any(tells(alert, event) for alert in told))
    true = {alert.id for alert in told if any(tells(alert, event) for event in negative)}
    return Verdict(
        found=found,
        missed=tuple(event for event in negative if event not in found),
        false_alerts=tuple(sorted({alert.id for alert in told} - true)),
    )


def tells(alert: Alert, event: TruthEvent) -> bool:
    """Whether this revision of an alert fired, or rose, in the time of an event that is bad."""
    end = max(event.start + AFTER_MS, event.end or event.start)
    return (
        event.polarity != "positive"
        and alert.state is AlertState.FIRING
        and alert.subject == event.subject
        and event.start - BEFORE_MS <= alert.detected_at <= end
    )
