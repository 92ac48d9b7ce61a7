"""The alerts that fire now, as series of Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from undertone.alerting.alertmanager import Route, metric_labels, severities
from undertone.records import Alert, AlertState


@dataclass(frozen=True)
class _Firing:
    alert: Alert
    partition: int


class FiringAlerts(Collector):
    """The series `undertone_alert_firing`, one for each severity told of each firing alert.

    A collector of its own, because each alert carries the labels of its own subject.
    """

    def __init__(self, first_route: Route) -> None:
        self._first_route = first_route
        self._firing: dict[str, _Firing] = {}
        self._routes: dict[str, Route] = {}
        self._lock = threading.Lock()

    def take(self, alert: Alert, partition: int) -> None:
        """Take a revision: it fires, or it has resolved. Older revisions change nothing."""
        with self._lock:
            known = self._firing.get(alert.id)
            if known is not None and alert.revision < known.alert.revision:
                return
            if alert.state is AlertState.FIRING:
                self._firing[alert.id] = _Firing(alert, partition)
            else:
                self._firing.pop(alert.id, None)
                self._routes.pop(alert.id, None)

    def set_partition(self, partition: int, open_alerts: Iterable[Alert]) -> None:
        """These and no others fire in this partition. What is known of their routes stays."""
        entries = {alert.id: _Firing(alert, partition) for alert in open_alerts}
        with self._lock:
            others = {k: v for k, v in self._firing.items() if v.partition != partition}
            self._firing = others | entries
            self._routes = {k: v for k, v in self._routes.items() if k in self._firing}

    def set_notified(self, alert_id: str, route: Route) -> None:
        """Which route tells people of this alert."""
        with self._lock:
            self._routes[alert_id] = route

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The series as they stand now."""
        family = GaugeMetricFamily(
            "undertone_alert_firing",
            "1 while the alert fires; a rise in severity adds a series beside the lower one.",
        )
        with self._lock:
            entries = [
                (entry.alert, self._routes.get(alert_id, self._first_route))
                for alert_id, entry in sorted(self._firing.items())
            ]
        seen: set[frozenset[tuple[str, str]]] = set()
        for alert, route in entries:
            for severity in severities(alert):
                labels = metric_labels(alert, severity) | {"notified": route}
                # A scrape with a series twice in it is refused as a whole.
                if (key := frozenset(labels.items())) not in seen:
                    seen.add(key)
                    family.add_sample("undertone_alert_firing", labels, 1.0)
        yield family

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The name alone, for the registry's check against duplicates."""
        yield GaugeMetricFamily("undertone_alert_firing", "")
