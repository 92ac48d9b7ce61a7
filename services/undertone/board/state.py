"""Core: what the board remembers of the trends and alerts topics, in bounded memory.

Bounds: `SUBJECTS` subjects, the watchlist's first, each with `WINDOWS` windows of 12 KB; `ALERTS`
alerts (and `SPARE`), of which those that ended go first, the oldest of them first, and none whose
last revision lies more than `AGE_MS` before the newest record; `REVISIONS` revisions of each, the
first and the newest. A revision takes some 17 KB.

Repeated records change nothing: an alert's revision by (id, revision), a trend point by (subject,
kind, window, window_end, revision), of which a later one makes all earlier ones old.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from undertone.board.history import WindowHistory
from undertone.durations import parse_duration
from undertone.records import Alert, AlertState, Evidence, Severity, TrendPoint

SUBJECTS = 5_000
WINDOWS = 8
ALERTS = 1_000
SPARE = 100  # alerts that may be held beyond, until all are looked through
REVISIONS = 16
AGE_MS = 90 * 86_400_000
EVIDENCE = 12


@dataclass(frozen=True)
class Listed:
    """A subject as the watchlist names it."""

    name: str
    type: str = "other"


class Subject:
    """One subject: its name and its windows."""

    def __init__(self, id: str, listed: Listed | None) -> None:
        self.id = id
        self.name = listed.name if listed else id
        self.type = listed.type if listed else None  # none: not on the watchlist
        self.windows: dict[str, WindowHistory] = {}

    @property
    def is_listed(self) -> bool:
        """Whether it is on the watchlist that the board was given."""
        return self.type is not None


class AlertHistory:
    """The revisions of one alert that were read, in their order."""

    def __init__(self, alert: Alert) -> None:
        self._revisions = {alert.revision: alert}

    def take(self, alert: Alert) -> bool:
        """Take a revision; false where it is known."""
        if alert.revision in self._revisions:
            return False
        known = sorted([*self._revisions.items(), (alert.revision, alert)])
        self._revisions = dict(known if len(known) <= REVISIONS else [known[0], *known[2:]])
        return True

    @property
    def revisions(self) -> tuple[Alert, ...]:
        return tuple(self._revisions.values())

    @property
    def first(self) -> Alert:
        """How it was told at first."""
        return next(iter(self._revisions.values()))

    @property
    def last(self) -> Alert:
        """How it stands."""
        return self.revisions[-1]

    @property
    def id(self) -> str:
        return self.last.id

    @property
    def severity(self) -> Severity:
        """The highest that it reached."""
        return self.last.severity

    @property
    def is_open(self) -> bool:
        return self.last.state is AlertState.FIRING

    @property
    def loudest(self) -> Alert:
        """The firing revision of the greatest surprise: its numbers are the ones to show."""
        firing = [alert for alert in self.revisions if alert.state is AlertState.FIRING]
        return max(firing or self.revisions, key=lambda alert: alert.surprise)

    @property
    def rises(self) -> tuple[Alert, ...]:
        """The revisions that fired again, louder."""
        return tuple(a for a in self.revisions[1:] if a.state is AlertState.FIRING)

    @property
    def resolved_ms(self) -> int | None:
        return self.last.resolved_at

    @property
    def told_ms(self) -> int:
        """When it last spoke."""
        return self.last.resolved_at or self.last.detected_at

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What it was told with at first, then what each revision added."""
        stories = {item.message_id: item for a in self.revisions for item in a.evidence}
        return tuple(stories.values())[:EVIDENCE]

    @property
    def first_stories(self) -> frozenset[str]:
        return frozenset(item.message_id for item in self.first.evidence)


class BoardState:
    """Takes trend points and alerts as they are read; not for use by several threads at once."""

    def __init__(self, watchlist: Mapping[str, Listed]) -> None:
        self._subjects = {id_: Subject(id_, watchlist[id_]) for id_ in list(watchlist)[:SUBJECTS]}
        self._left_out: set[str] = set()
        self._alerts: dict[str, AlertHistory] = {}  # that which spoke last at the end
        self.clock_ms: int | None = None

    def take(self, record: TrendPoint | Alert) -> bool:
        """Take one record; false where it changed nothing."""
        return self._take_alert(record) if isinstance(record, Alert) else self._take_point(record)

    @property
    def subjects(self) -> Iterable[Subject]:
        """Those of the watchlist first."""
        return self._subjects.values()

    @property
    def left_out(self) -> int:
        """Subjects (at most `SUBJECTS` are counted) that there was no room for."""
        return len(self._left_out)

    def subject(self, id: str) -> Subject | None:
        """A subject by its id."""
        return self._subjects.get(id)

    @property
    def alerts(self) -> list[AlertHistory]:
        """Open ones first, the loudest of them first; then those that ended, the newest first."""
        kept = (alert for alert in self._alerts.values() if not self._is_old(alert))
        return sorted(kept, key=_rank)

    def alert(self, id: str) -> AlertHistory | None:
        """An alert by its id."""
        return self._alerts.get(id)

    def windows(self) -> list[str]:
        """The windows that are known of any subject, the shortest first."""
        found = {window for subject in self._subjects.values() for window in subject.windows}
        return sorted(found, key=parse_duration)

    def _take_point(self, point: TrendPoint) -> bool:
        subject = self._heard_of(point.subject)
        if subject is None:
            return False
        history = subject.windows.get(point.window)
        if history is None:
            if len(subject.windows) >= WINDOWS:
                return False
            try:
                history = WindowHistory(point.window)
            except ValueError:
                return False
            subject.windows[point.window] = history
        self._note(point.window_end)
        return history.take(point)

    def _take_alert(self, alert: Alert) -> bool:
        subject = self._heard_of(alert.subject)
        if subject is not None and not subject.is_listed:
            subject.name = alert.name
        known = self._alerts.get(alert.id)
        if known is None:
            known = AlertHistory(alert)
        elif not known.take(alert):
            return False
        self._alerts.pop(alert.id, None)
        self._alerts[alert.id] = known
        self._note(known.told_ms)
        self._forget()
        return True

    def _heard_of(self, id: str) -> Subject | None:
        subject = self._subjects.get(id)
        if subject is None:
            if len(self._subjects) >= SUBJECTS:
                if len(self._left_out) < SUBJECTS:
                    self._left_out.add(id)
                return None
            subject = self._subjects[id] = Subject(id, None)
        return subject

    def _note(self, at_ms: int) -> None:
        self.clock_ms = at_ms if self.clock_ms is None else max(self.clock_ms, at_ms)

    def _is_old(self, alert: AlertHistory) -> bool:
        return alert.told_ms < (self.clock_ms or 0) - AGE_MS

    def _forget(self) -> None:
        """Drop what is too old, then what is too much: that not at each alert, it takes long."""
        while self._alerts and self._is_old(first := next(iter(self._alerts.values()))):
            del self._alerts[first.id]
        if len(self._alerts) >= ALERTS + SPARE:
            kept = {alert.id for alert in self.alerts[:ALERTS]}
            self._alerts = {id_: alert for id_, alert in self._alerts.items() if id_ in kept}


def _rank(alert: AlertHistory) -> tuple[object, ...]:
    if alert.is_open:
        return 0, -alert.severity.rank, -alert.last.surprise, alert.id
    return 1, -alert.told_ms, 0, alert.id
