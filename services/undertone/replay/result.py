"""What a replay found: the types that its report, its JSON and its tests share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from undertone.alerting.rules import RuleSet
from undertone.alerting.verdict import Verdict
from undertone.durations import format_duration
from undertone.records import Alert, AlertState, format_instant
from undertone.truth import TruthEvent
from undertone.watch.core import WatchedSubject

DAY_MS = 86_400_000
DAYS_PER_MONTH = 30.44


@dataclass(frozen=True, slots=True)
class ReplayRange:
    """What was replayed: arrivals in `[from_ms, until_ms)`, after a warm-up before it.

    `begins_at_ms` is the first arrival that was read, None where there was none. The warm-up is
    `warm_up_ms` long where the log reaches back that far.
    """

    from_ms: int
    until_ms: int
    warm_up_ms: int = 0
    begins_at_ms: int | None = None

    @property
    def days(self) -> float:
        """Length of the range itself, in days."""
        return max(0, self.until_ms - self.from_ms) / DAY_MS

    def as_json(self) -> dict[str, Any]:
        """Times as ISO 8601, the warm-up as a duration."""
        begins = self.begins_at_ms
        return {
            "from": format_instant(self.from_ms),
            "until": format_instant(self.until_ms),
            "warm_up": format_duration(self.warm_up_ms),
            "begins_at": None if begins is None else format_instant(begins),
        }


@dataclass(frozen=True, slots=True)
class EventFigures:
    """How many of the true events were told, and how soon after they began, in minutes.

    A delay is negative where the alert came before the event's recorded start.
    """

    total: int
    found: int
    median_delay_minutes: float | None
    worst_delay_minutes: float | None

    @property
    def recall(self) -> float | None:
        """The share of events found; None without any."""
        return self.found / self.total if self.total else None

    def as_json(self) -> dict[str, Any]:
        """The fields of `events` in the report."""
        return {
            "total": self.total,
            "found": self.found,
            "median_delay_minutes": self.median_delay_minutes,
            "worst_delay_minutes": self.worst_delay_minutes,
        }


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One point of a grid of rule parameters: {"rule.parameter": value}, and what it gave."""

    number: int
    parameters: Mapping[str, Any]
    alerts: int
    events: EventFigures | None
    precision: float | None
    alerts_per_subject_month: float
    false_alerts_per_subject_month: float | None
    rules_file: str
    on_frontier: bool = False
    """No other point finds as many events with fewer false alerts, or more with as many."""

    def as_json(self) -> dict[str, Any]:
        """One entry of `sweep` in the report."""
        return {
            "number": self.number,
            "parameters": dict(self.parameters),
            "alerts": self.alerts,
            "recall": None if self.events is None else rounded(self.events.recall),
            "events": None if self.events is None else self.events.as_json(),
            "precision": rounded(self.precision),
            "alerts_per_subject_month": rounded(self.alerts_per_subject_month),
            "false_alerts_per_subject_month": rounded(self.false_alerts_per_subject_month),
            "rules_file": self.rules_file,
            "on_frontier": self.on_frontier,
        }


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Everything that a replay found. Counts are of the range alone, without its warm-up.

    `messages` are raw records that could be read or were dead letters (of a mentions topic: the
    distinct messages in it); `alerts` holds every revision in the order (decided at, subject,
    rule, revision). `delays_minutes` holds one entry for each event, None where it was missed.
    """

    range: ReplayRange
    messages: int
    mentions: int
    unmatched: int
    unscored: int
    dead_letters: int
    rejected: int
    alerts: tuple[Alert, ...]
    events: tuple[TruthEvent, ...] | None
    verdict: Verdict | None
    event_figures: EventFigures | None
    delays_minutes: tuple[float | None, ...]
    precision: float | None
    alerts_per_subject_month: float
    alerts_per_event: float | None
    messages_per_second: float
    models: Mapping[str, int]
    notes: tuple[str, ...]
    rules: RuleSet
    subjects: Mapping[str, WatchedSubject]
    source: str = ""
    sweep: tuple[SweepPoint, ...] | None = None
    partial: bool = False
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage."""

    @property
    def told(self) -> tuple[Alert, ...]:
        """The revisions that tell somebody: the firing ones, rises in severity included."""
        return tuple(alert for alert in self.alerts if alert.state is AlertState.FIRING)

    @property
    def ranked(self) -> tuple[Alert, ...]:
        """The first telling revision of each alert, the most surprising first."""
        first: dict[str, Alert] = {}
        for alert in self.told:
            first.setdefault(alert.id, alert)
        ranking = sorted(
            first.values(), key=lambda alert: (-alert.surprise, alert.started_at, alert.id)
        )
        return tuple(ranking)

    def as_json(self) -> dict[str, Any]:
        """The fields of the stable command line, and more."""
        events = self.event_figures
        return {
            "partial": self.partial,
            "source": self.source,
            "range": self.range.as_json(),
            "messages": self.messages,
            "mentions": self.mentions,
            "unmatched": self.unmatched,
            "unscored": self.unscored,
            "dead_letters": self.dead_letters,
            "rejected": self.rejected,
            "alerts": len({alert.id for alert in self.alerts}),
            "precision": rounded(self.precision),
            "events": None if events is None else events.as_json(),
            "alerts_per_subject_month": rounded(self.alerts_per_subject_month),
            "alerts_per_event": rounded(self.alerts_per_event),
            "messages_per_second": round(self.messages_per_second, 1),
            "models": dict(self.models),
            "rules_version": self.rules.version,
            "notes": list(self.notes),
            "sweep": None if self.sweep is None else [point.as_json() for point in self.sweep],
            "timings": {name: round(seconds, 3) for name, seconds in self.timings.items()},
        }


def rounded(value: float | None, digits: int = 4) -> float | None:
    """A ratio for people and JSON."""
    return None if value is None else round(value, digits)
