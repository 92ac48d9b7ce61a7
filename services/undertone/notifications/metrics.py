"""The metrics of `undertone notify`, on the registry that they are given."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram

OUTCOMES = ("sent", "limited", "failed")


class NotifyMetrics:
    """All metrics of one receiver."""

    def __init__(self, registry: CollectorRegistry, robots: Iterable[str]) -> None:
        self.messages = Counter(
            "undertone_notify_messages_total",
            "Notifications for a robot, by what became of them.",
            ["robot", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "undertone_notify_seconds",
            "Time from a notification's arrival to the robot's answer.",
            ["robot"],
            registry=registry,
        )
        for robot in robots:  # increase() does not see a first value
            self.seconds.labels(robot)
            for outcome in OUTCOMES:
                self.messages.labels(robot, outcome)
