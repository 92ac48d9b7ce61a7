"""An alert reaches a webhook through real Prometheus and Alertmanager, by either route.

Each is told as firing, once more when its severity rises, and as resolved, once each.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest
from prometheus_client import CollectorRegistry

from made_alerts import made_alert, resolved, risen
from servers import Notification, Webhook, alertmanager, binary, free_port, prometheus
from undertone.alerting.alertmanager import AlertmanagerClient, Route, identity, to_payloads
from undertone.alerting.notifier import Notifier
from undertone.records import Alert
from undertone.telemetry import serve_metrics
from undertone.watch.exposition import Exposition

pytestmark = [pytest.mark.prometheus, pytest.mark.slow]

TOKEN = "only-for-this-test"
LABELS = {"desk": "retail", "tier": ""}


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Stack:
    """The servers, and a worker's metrics that Prometheus scrapes."""

    webhook: Webhook
    alertmanager_url: str
    prometheus_url: str
    exposition: Exposition

    def client(self, url: str | None = None) -> AlertmanagerClient:
        return AlertmanagerClient(url or self.alertmanager_url, timeout_seconds=2)

    def notifier(self, client: AlertmanagerClient | None) -> Notifier:
        return Notifier(
            client,
            set_notified=self.exposition.set_notified,
            wall_clock_ms=wall_clock_ms,
            repeat_ms=1_000,
        )

    def held_by_alertmanager(self, subject: str) -> list[dict[str, dict[str, str]]]:
        answer = httpx.get(
            f"{self.alertmanager_url}/api/v2/alerts", params={"filter": f'subject="{subject}"'}
        )
        found: list[dict[str, dict[str, str]]] = answer.raise_for_status().json()
        return found

    def firing_in_prometheus(self, subject: str) -> list[dict[str, str]]:
        query = f'ALERTS{{alertname="UndertoneSentiment",subject="{subject}"}}'
        answer = httpx.get(f"{self.prometheus_url}/api/v1/query", params={"query": query})
        return [item["metric"] for item in answer.raise_for_status().json()["data"]["result"]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    binary("prometheus")
    binary("prometheus-alertmanager", "alertmanager")
    directory = tmp_path_factory.mktemp("alert-route")
    registry = CollectorRegistry()
    exposition = Exposition(registry, wall_clock=time.time, route="direct")
    port = serve_metrics(registry, "127.0.0.1", 0)
    with ExitStack() as servers:
        webhook = servers.enter_context(Webhook(TOKEN))
        alertmanager_url = servers.enter_context(
            alertmanager(directory / "alertmanager", webhook.url, TOKEN)
        )
        prometheus_url = servers.enter_context(
            prometheus(
                directory / "prometheus",
                watch_target=f"127.0.0.1:{port}",
                alertmanager_url=alertmanager_url,
                keep_firing_for="2s",
            )
        )
        yield Stack(webhook, alertmanager_url, prometheus_url, exposition)


def wait_until(condition: Callable[[], bool], what: str, deadline_seconds: float = 30) -> None:
    """Ask again until it holds; fails at the deadline."""
    deadline = time.monotonic() + deadline_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_seconds} s: {what}"
        time.sleep(0.05)


def outline(told: list[Notification]) -> Counter[tuple[str, str]]:
    """How often each (status, severity) was told."""
    return Counter((item.status, item.labels["severity"]) for item in told)


def live_out(stack: Stack, notifier: Notifier, alert: Alert) -> list[Notification]:
    """Fire, rise and resolve as the worker does, each once the one before has been told."""

    def tell(revision: Alert, status: str) -> None:
        stack.exposition.observe(revision, 0)
        notifier.alert(revision, 0)
        stack.webhook.wait_for(
            revision.subject,
            lambda told: any(
                (item.status, item.labels["severity"]) == (status, revision.severity)
                for item in told
            ),
        )

    tell(alert, "firing")
    tell(risen(alert), "firing")
    tell(resolved(risen(alert)), "resolved")
    return stack.webhook.told(alert.subject)


EVERYTHING_ONCE = Counter(
    {
        ("firing", "warning"): 1,
        ("firing", "critical"): 1,
        ("resolved", "warning"): 1,
        ("resolved", "critical"): 1,
    }
)


def test_a_pushed_alert_is_told_with_its_evidence_and_ends(stack: Stack) -> None:
    alert = made_alert(subject="pushed", labels=LABELS)
    with stack.notifier(stack.client()) as notifier:
        told = live_out(stack, notifier, alert)
    assert outline(told) == EVERYTHING_ONCE
    assert told[0].labels == identity(alert)
    assert told[0].starts_at == "2008-09-15T12:00:00Z"
    assert "Acme recalls 40,000 kettles" in told[0].annotations["description"]
    assert stack.firing_in_prometheus("pushed") == []


def test_without_an_alertmanager_url_the_rule_tells_it(stack: Stack) -> None:
    alert = made_alert(subject="ruled", labels=LABELS)
    with stack.notifier(None) as notifier:
        told = live_out(stack, notifier, alert)
    assert outline(told) == EVERYTHING_ONCE
    assert told[0].labels == identity(alert)
    assert told[0].annotations["notified"] == "prometheus"


def test_when_the_push_fails_the_rule_takes_over_for_the_alerts_life(stack: Stack) -> None:
    alert = made_alert(subject="taken-over", labels=LABELS)
    dead = stack.client(f"http://127.0.0.1:{free_port()}")
    with stack.notifier(dead) as notifier:
        stack.exposition.observe(alert, 0)
        notifier.alert(alert, 0)
        stack.webhook.wait_for(alert.subject, lambda told: len(told) == 1)
    # The worker starts again, and Alertmanager can be reached now: the alert keeps its route.
    routes: dict[str, Route] = {}
    again = Notifier(stack.client(), set_notified=routes.__setitem__, wall_clock_ms=wall_clock_ms)
    again.set_partition(0, [alert])
    assert again.push_due() is None
    assert routes == {alert.id: "prometheus"}
    with again:
        told = live_out(stack, again, alert)
    assert outline(told) == EVERYTHING_ONCE
    assert {item.annotations["notified"] for item in told} == {"prometheus"}


def test_told_by_both_routes_it_is_one_alert(stack: Stack) -> None:
    alert = made_alert(subject="both", labels=LABELS)
    client = stack.client()
    client.push(to_payloads(alert, ends_at_ms=wall_clock_ms() + 60_000))
    (first,) = stack.webhook.wait_for("both", lambda told: len(told) == 1)
    stack.exposition.set_notified(alert.id, "prometheus")
    stack.exposition.observe(alert, 0)

    def notified() -> list[str]:
        return [held["annotations"]["notified"] for held in stack.held_by_alertmanager("both")]

    wait_until(lambda: notified() == ["prometheus"], "Prometheus repeats the pushed alert")
    client.push(to_payloads(alert, ends_at_ms=wall_clock_ms() + 60_000))
    assert len(notified()) == 1
    stack.exposition.observe(resolved(alert), 0)
    told = stack.webhook.wait_for("both", lambda told: told[-1].status == "resolved")
    client.close()
    assert outline(told) == {("firing", "warning"): 1, ("resolved", "warning"): 1}
    assert {item.fingerprint for item in told} == {first.fingerprint}
