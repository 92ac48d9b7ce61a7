"""Alerts held against what truly happened: precision, recall, delays, rates."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from undertone.alerting.verdict import Verdict, judge, tells
from undertone.records import Alert, AlertState
from undertone.replay.result import DAYS_PER_MONTH, EventFigures
from undertone.truth import TruthEvent

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What alerts are worth. Without truth only the rate of alerts is known."""

    verdict: Verdict | None
    events: EventFigures | None
    delays_minutes: tuple[float | None, ...]
    precision: float | None
    alerts_per_subject_month: float
    false_alerts_per_subject_month: float | None
    alerts_per_event: float | None


def in_order(alerts: Sequence[Alert]) -> tuple[Alert, ...]:
    """Revisions by (decided at, subject, rule, revision)."""
    return tuple(sorted(alerts, key=lambda a: (a.detected_at, a.subject, a.rule, a.revision)))


def within(events: Sequence[TruthEvent], from_ms: int, until_ms: int) -> tuple[TruthEvent, ...]:
    """The events that begin in the range."""
    return tuple(event for event in events if from_ms <= event.start < until_ms)


def figures(
    alerts: Sequence[Alert], events: Sequence[TruthEvent] | None, *, subjects: int, days: float
) -> Figures:
    """Judge alerts (all revisions of the range) against the events of the range.

    Rates are per subject on the watchlist and month of 30.44 days; rises in severity count, as
    somebody is told. Precision is the share of alerts that tell of an event. A delay is that of
    the first revision that tells of an event, after the event's start. Alerts per event are the
    alerts that tell of an event, by the mean of the events found: 1 where none is told twice.
    """
    told = [alert for alert in alerts if alert.state is AlertState.FIRING]
    subject_months = subjects * days / DAYS_PER_MONTH
    rate = len(told) / subject_months if subject_months else 0.0
    if events is None:
        return Figures(None, None, (), None, rate, None, None)
    verdict = judge(events, alerts)
    ids = {alert.id for alert in told}
    false_ids = set(verdict.false_alerts)
    judged = [*verdict.found, *verdict.missed]
    delays = tuple(_delay_minutes(event, told) for event in _negative(events))
    known = [delay for delay in delays if delay is not None]
    return Figures(
        verdict=verdict,
        events=EventFigures(
            total=len(judged),
            found=len(verdict.found),
            median_delay_minutes=round(statistics.median(known), 2) if known else None,
            worst_delay_minutes=round(max(known), 2) if known else None,
        ),
        delays_minutes=delays,
        precision=(len(ids) - len(false_ids)) / len(ids) if ids else None,
        alerts_per_subject_month=rate,
        false_alerts_per_subject_month=(
            sum(alert.id in false_ids for alert in told) / subject_months if subject_months else 0.0
        ),
        alerts_per_event=_alerts_per_event(verdict.found, told),
    )


def _negative(events: Sequence[TruthEvent]) -> list[TruthEvent]:
    return [event for event in events if event.polarity != "positive"]


def _delay_minutes(event: TruthEvent, told: Sequence[Alert]) -> float | None:
    """Minutes from an event's start to the first revision that tells of it."""
    telling = [alert.detected_at for alert in told if tells(alert, event)]
    return (min(telling) - event.start) / MINUTE_MS if telling else None


def _alerts_per_event(found: Sequence[TruthEvent], told: Sequence[Alert]) -> float | None:
    """How many alerts (not revisions) tell of an event; None where none was found."""
    counts = [len({alert.id for alert in told if tells(alert, event)}) for event in found]
    return statistics.fmean(counts) if counts else None
