"""Results of a replay written for tests of its report."""

from __future__ import annotations

from typing import Any

from builders import DAY_MS, HOUR_MS
from made_alerts import made_alert, made_trend_point, resolved, risen
from undertone.alerting.rules import load_rules
from undertone.alerting.verdict import judge
from undertone.records import Alert
from undertone.replay.figures import figures
from undertone.replay.result import EventFigures, ReplayRange, ReplayResult, SweepPoint
from undertone.replay.timeline import Timeline
from undertone.trends.points import columns_of_records
from undertone.truth import TruthEvent
from undertone.watch.core import WatchedSubject

FROM_MS = 1_220_832_000_000  # 8 September 2008
UNTIL_MS = FROM_MS + 20 * DAY_MS
HOSTILE = '<script>document.title="owned"</script><img src=x onerror="document.title=1">'


def made_result(*alerts: Alert, **changes: Any) -> ReplayResult:
    """The result of twenty days, judged by the events where there are any."""
    events = changes.get("events")
    subjects = {"acme": WatchedSubject("Acme Corporation"), "quiet": WatchedSubject("Quiet Ltd")}
    found = figures(alerts, events, subjects=len(subjects), days=20)
    fields: dict[str, Any] = {
        "range": ReplayRange(FROM_MS, UNTIL_MS, 7 * DAY_MS, FROM_MS - 7 * DAY_MS),
        "messages": 14_249,
        "mentions": 1_659,
        "unmatched": 3_021,
        "unscored": 2,
        "dead_letters": 1,
        "rejected": 0,
        "alerts": alerts,
        "events": events,
        "verdict": None if events is None else judge(events, alerts),
        "event_figures": found.events,
        "delays_minutes": found.delays_minutes,
        "precision": found.precision,
        "alerts_per_subject_month": found.alerts_per_subject_month,
        "alerts_per_event": found.alerts_per_event,
        "messages_per_second": 12_000.0,
        "models": {"bundled@1": 1_600, "stub@1": 59},
        "notes": (),
        "rules": load_rules(),
        "subjects": subjects,
        "source": "wire.jsonl.gz",
    }
    return ReplayResult(**(fields | changes))


def crisis(day: float = 7, **changes: Any) -> tuple[Alert, Alert, Alert]:
    """An alert that fires on a day of the range, rises two hours later, and resolves."""
    at_ms = FROM_MS + round(day * DAY_MS)
    first = made_alert(started_at=at_ms, detected_at=at_ms, **changes)
    second = risen(first).model_copy(update={"detected_at": at_ms + 2 * HOUR_MS})
    last = resolved(second).model_copy(
        update={"resolved_at": at_ms + 9 * HOUR_MS, "detected_at": at_ms + 9 * HOUR_MS}
    )
    return first, second, last


def event(day: float, subject: str = "acme", **changes: Any) -> TruthEvent:
    """A negative event on a day of the range."""
    start = FROM_MS + round(day * DAY_MS)
    return TruthEvent(**({"subject": subject, "start": start, "polarity": "negative"} | changes))


def made_timeline(*subjects: str) -> Timeline:
    """Twenty days of a window a subject, with a burst on the seventh."""
    timeline = Timeline(subjects, FROM_MS, UNTIL_MS)
    for hour in range(20 * 24):
        burst = 20 if 7 * 24 <= hour < 8 * 24 else 0
        stories = 2 + hour % 3 + burst
        point = made_trend_point(
            window="24h",
            window_end=FROM_MS + hour * HOUR_MS,
            stories=stories,
            negative=1 + burst,
            neutral=stories - 1 - burst,
            mean_score=-0.4 if burst else 0.1,
            expected_volume=3.0 + (hour % 24) / 24,
            surprise_negative_volume=4.0 if burst else 0.3,
        )
        for subject in subjects:
            changed = point.model_copy(update={"subject": subject})
            timeline.add(columns_of_records([changed]))
    return timeline


def made_sweep(*, judged: bool = True) -> tuple[SweepPoint, ...]:
    """Four points, two of them on the frontier."""
    return tuple(
        SweepPoint(
            number=number,
            parameters={"surge.surprise": surprise, "surge.min_stories": 3},
            alerts=alerts,
            events=EventFigures(4, found, 30.0, 90.0) if judged else None,
            precision=found / alerts if judged else None,
            alerts_per_subject_month=alerts / 4,
            false_alerts_per_subject_month=(alerts - found) / 4 if judged else None,
            rules_file=f"sweep/{number:03d}.yaml",
            on_frontier=best and judged,
        )
        for number, surprise, alerts, found, best in (
            (1, 3, 20, 4, True),
            (2, 4, 9, 3, True),
            (3, 5, 12, 3, False),
            (4, 6, 14, 2, False),
        )
    )
