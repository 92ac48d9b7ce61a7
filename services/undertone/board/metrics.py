"""The metrics of `undertone board`, on the registry that they are given."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

USUAL_STATUSES = (200, 401, 404, 500, 503)
OUTCOMES = ("taken", "repeated", "unreadable")


class BoardMetrics:
    """All metrics of one board; requests are those of pages and of `/api`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "undertone_board_requests_total",
            "Pages and answers of the API, by HTTP status.",
            ["status"],
            registry=registry,
        )
        self.records = Counter(
            "undertone_board_records_total",
            "Records read, by topic and by what became of them.",
            ["topic", "outcome"],
            registry=registry,
        )
        self.lag = Gauge(
            "undertone_board_lag_records",
            "Records of a topic that are not read yet.",
            ["topic"],
            registry=registry,
        )
        self.clock = Gauge(
            "undertone_board_clock_seconds",
            "The time of the newest record, seconds since 1970 in stream time.",
            registry=registry,
        )
        self.open_alerts = Gauge(
            "undertone_board_open_alerts", "Alerts that are shown as open.", registry=registry
        )
        for status in USUAL_STATUSES:
            self.requests.labels(str(status))  # increase() does not see a first value

    def know_topic(self, topic: str) -> None:
        """Start a topic's series."""
        for outcome in OUTCOMES:
            self.records.labels(topic, outcome)
