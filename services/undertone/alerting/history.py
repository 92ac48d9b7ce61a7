"""Alerts as their topic tells them: revisions put together, filtered, found. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from undertone.errors import UsageError
from undertone.records import Alert, AlertState

SHOWN_MATCHES = 5


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts are wanted, by their last revision; None wants all.

    `since_ms`: something was said of it at this time or later.
    """

    subject: str | None = None
    rule: str | None = None
    state: AlertState | None = None
    since_ms: int | None = None

    def wants(self, alert: Alert) -> bool:
        """Whether an alert is wanted."""
        return (
            (self.subject is None or alert.subject == self.subject)
            and (self.rule is None or alert.rule == self.rule)
            and (self.state is None or alert.state is self.state)
            and (self.since_ms is None or alert.detected_at >= self.since_ms)
        )


def last_revisions(revisions: Iterable[Alert], wanted: AlertFilter) -> list[Alert]:
    """The last revision of each alert that is wanted, the latest start first."""
    last: dict[str, Alert] = {}
    for alert in revisions:
        known = last.get(alert.id)
        if known is None or alert.revision > known.revision:
            last[alert.id] = alert
    chosen = [alert for alert in last.values() if wanted.wants(alert)]
    return sorted(chosen, key=lambda alert: (-alert.started_at, alert.subject, alert.rule))


def revisions_of(revisions: Iterable[Alert], prefix: str) -> list[Alert]:
    """All revisions of the one alert whose id begins with `prefix`, each once, oldest first.

    Raises UsageError where there is none, or more than one.
    """
    found: dict[str, dict[int, Alert]] = {}
    for alert in revisions:
        if alert.id.startswith(prefix):
            found.setdefault(alert.id, {})[alert.revision] = alert
    if prefix in found:
        found = {prefix: found[prefix]}
    if not found:
        raise UsageError(
            f"no alert has an id that begins with {prefix!r}",
            hint="`undertone alerts list` shows the ids of those that are kept.",
        )
    if len(found) > 1:
        listed = ", ".join(sorted(found)[:SHOWN_MATCHES])
        more = ", …" if len(found) > SHOWN_MATCHES else ""
        raise UsageError(
            f"{len(found)} alerts have an id that begins with {prefix!r}: {listed}{more}",
            hint="Give more of it.",
        )
    ((_, by_number),) = found.items()
    return [alert for _, alert in sorted(by_number.items())]


def readable(values: Iterable[bytes | None]) -> Iterator[Alert]:
    """The alerts among the records of a topic. Raises RecordError for what is none."""
    return (Alert.from_json(value) for value in values if value is not None)
