"""Alerts as Alertmanager takes them: one identity on both routes, and a client that posts them.

An alert reaches people by one of two routes. Pushed by `watch` itself ("direct", with its
evidence), or by the Prometheus rule over `undertone_alert_firing` ("prometheus"). Alertmanager
takes two alerts with equal labels for one, so `identity` alone decides the labels: the metric
carries them, and so does the push (design §6, "Alert route").
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import httpx
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from undertone.alerting.notice import annotations_of, one_line
from undertone.errors import AlertmanagerError, ConfigurationError
from undertone.records import Alert, Severity, format_instant

Route = Literal["direct", "prometheus"]
Identity = frozenset[tuple[str, str]]

ALERT_NAME = "UndertoneSentiment"
LABEL_VALUE_LIMIT = 200
# What scraping adds to every series. The rule `UndertoneSentiment` drops exactly these, so a
# watchlist's label of such a name could not arrive by both routes.
SCRAPE_LABELS = frozenset(
    {"instance", "job", "notified", "namespace", "pod", "container", "endpoint", "service", "node"}
)
_OWN_LABELS = frozenset({"alertname", "subject", "rule", "severity"})
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class AlertmanagerRefusalError(AlertmanagerError):
    """Alertmanager read the request and refused it (4xx): sending it again changes nothing."""


class _UnavailableError(AlertmanagerError):
    """A fault that may pass: no connection, a timeout, 5xx, 429."""


def label_value(text: str) -> str:
    """A label's value on one line and within the limit (200 characters)."""
    return one_line(text, LABEL_VALUE_LIMIT)


def metric_labels(alert: Alert, severity: Severity | None = None) -> dict[str, str]:
    """Labels of the alert but for `alertname`: what the metric carries and the rule passes on.

    The watchlist's labels stand beside subject, rule and severity. Empty values are left out, as
    Prometheus does, and so are names that Prometheus cannot carry or that scraping sets.
    """
    labels = {
        "subject": label_value(alert.subject),
        "rule": label_value(alert.rule),
        "severity": severity or alert.severity,
    }
    for name, value in sorted(alert.labels.items()):
        taken = name in _OWN_LABELS or name in SCRAPE_LABELS or name.startswith("__")
        if _LABEL_NAME.fullmatch(name) and not taken and (value := label_value(value)):
            labels[name] = value
    return {name: str(value) for name, value in labels.items()}


def identity(alert: Alert, severity: Severity | None = None) -> dict[str, str]:
    """All labels of the alert: equal on both routes, so that Alertmanager takes them for one."""
    return {"alertname": ALERT_NAME, **metric_labels(alert, severity)}


def severities(alert: Alert) -> tuple[Severity, ...]:
    """Every severity from the one that it fired with to its own; each is an alert of its own.

    The inhibition rule mutes all but the highest; all end together.
    """
    first = (alert.fired_as or alert.severity).rank
    return tuple(Severity)[first : alert.severity.rank + 1]


def to_payload(
    alert: Alert,
    *,
    ends_at_ms: int,
    severity: Severity | None = None,
    board_url: str | None = None,
) -> dict[str, Any]:
    """One alert of POST /api/v2/alerts, of the alert's own severity or a lower one.

    `ends_at_ms` is wall time: ahead of now while the alert fires, now when it has resolved.
    `startsAt` is the alert's own time, which may be years ago (a recorded stream), but never
    after its end, which Alertmanager refuses.
    """
    severity = severity or alert.severity
    started_ms = alert.started_at
    if severity is alert.severity and alert.escalated_at is not None:
        started_ms = alert.escalated_at
    return {
        "labels": identity(alert, severity),
        "annotations": annotations_of(alert, board_url=board_url),
        "startsAt": format_instant(min(started_ms, ends_at_ms)),
        "endsAt": format_instant(ends_at_ms),
    }


def to_payloads(
    alert: Alert, *, ends_at_ms: int, board_url: str | None = None
) -> list[dict[str, Any]]:
    """The alert in every severity that it has been told with."""
    return [
        to_payload(alert, ends_at_ms=ends_at_ms, severity=each, board_url=board_url)
        for each in severities(alert)
    ]


class AlertmanagerClient:
    """Posts alerts to one Alertmanager (`http://host:port`, a path prefix may follow).

    Faults that may pass are tried `attempts` times, with short waits between. Not for use by
    several threads at once.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 5.0,
        http: httpx.Client | None = None,
        attempts: int = 3,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`http` is for tests and special transports; it is closed with this client.

        Raises ConfigurationError where `url` is no address.
        """
        self._url = _api_url(url)
        self._http = http or httpx.Client(timeout=timeout_seconds)
        self._retrying = Retrying(
            stop=stop_after_attempt(attempts),
            wait=wait_random_exponential(multiplier=0.1, max=1.0),
            retry=retry_if_exception_type(_UnavailableError),
            sleep=sleep,
            reraise=True,
        )

    def push(self, payloads: Sequence[dict[str, Any]]) -> None:
        """Post the alerts. Raises AlertmanagerError when it fails for good."""
        self._retrying(self._request, "POST", json=list(payloads))

    def on_prometheus_route(self) -> set[Identity]:
        """The sentiment alerts that Alertmanager now holds by the Prometheus rule, by labels.

        Raises AlertmanagerError.
        """
        parameters = {"filter": f'alertname="{ALERT_NAME}"'}
        answer = self._retrying(self._request, "GET", params=parameters)
        try:
            return set(_prometheus_identities(answer.json()))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise AlertmanagerError(
                f"{self._shown_url} does not answer like Alertmanager's API",
                hint="Set alertmanager.url to the address of Alertmanager itself.",
            ) from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def _shown_url(self) -> str:
        return str(self._url.copy_with(userinfo=b""))

    def _request(self, method: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, self._url, **options)
        except httpx.TransportError as error:
            raise _UnavailableError(
                f"{self._shown_url}: {type(error).__name__}: {error}",
                hint="Check alertmanager.url, and that Alertmanager is running.",
            ) from None
        if answer.is_success:
            return answer
        message = f"{self._shown_url} answered {answer.status_code}: {one_line(answer.text, 300)}"
        if answer.status_code >= 500 or answer.status_code == 429:
            raise _UnavailableError(message)
        raise AlertmanagerRefusalError(
            message, hint="Check that alertmanager.url is the address of Alertmanager itself."
        )


def _api_url(url: str) -> httpx.URL:
    expected = "alertmanager.url: expected an address such as http://127.0.0.1:9093"
    try:
        parsed = httpx.URL(url.rstrip("/") + "/api/v2/alerts")
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{expected}: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(expected)
    return parsed


def _prometheus_identities(alerts: Iterable[dict[str, Any]]) -> Iterable[Identity]:
    for alert in alerts:
        if alert["annotations"].get("notified") == "prometheus":
            yield frozenset(alert["labels"].items())
