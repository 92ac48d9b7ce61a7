"""The identity of an alert, what is posted of it, and how faults are met."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_alerts import START_MS, made_alert, resolved, risen
from undertone.alerting.alertmanager import (
    SCRAPE_LABELS,
    AlertmanagerClient,
    AlertmanagerRefusalError,
    identity,
    severities,
    to_payload,
    to_payloads,
)
from undertone.errors import AlertmanagerError, ConfigurationError
from undertone.records import Severity

NOW_MS = 1_700_000_000_000
Answer = Callable[[httpx.Request], httpx.Response]


def client_of(answer: Answer, waits: list[float] | None = None) -> AlertmanagerClient:
    """A client whose requests go to a function."""
    return AlertmanagerClient(
        "http://alerts.example/prefix/",
        http=httpx.Client(transport=httpx.MockTransport(answer)),
        sleep=(waits if waits is not None else []).append,
    )


def test_identity_is_the_alert_and_the_watchlists_labels() -> None:
    assert identity(made_alert(labels={"desk": "banks", "region": ""})) == {
        "alertname": "UndertoneSentiment",
        "subject": "acme",
        "rule": "negative-surge",
        "severity": "warning",
        "desk": "banks",
    }


def test_labels_cannot_replace_what_identifies_the_alert() -> None:
    labels = dict.fromkeys(
        ["alertname", "subject", "rule", "severity", "__name__", "bad-name", *SCRAPE_LABELS], "x"
    )
    assert identity(made_alert(labels=labels)) == identity(made_alert(labels={}))


@given(st.dictionaries(st.text(), st.text(), max_size=5), st.text(min_size=1))
def test_no_text_makes_a_label_that_prometheus_refuses(
    labels: dict[str, str], subject: str
) -> None:
    for name, value in identity(made_alert(subject=subject, labels=labels)).items():
        assert name.isascii()
        assert name.isidentifier()
        assert len(value) <= 200
        assert "\n" not in value


def test_severities_follow_from_the_record_alone() -> None:
    alert = made_alert(severity="info")
    assert severities(alert) == (Severity.INFO,)
    assert severities(risen(alert)) == (Severity.INFO, Severity.WARNING)
    assert severities(resolved(risen(risen(alert)))) == tuple(Severity)
    assert severities(resolved(risen(made_alert()))) == (Severity.WARNING, Severity.CRITICAL)
    assert severities(resolved(made_alert())) == (Severity.WARNING,)


def test_a_payload_carries_times_evidence_and_factors() -> None:
    payload = to_payload(made_alert(), ends_at_ms=NOW_MS)
    assert payload["startsAt"] == "2008-09-15T12:00:00Z"
    assert payload["endsAt"] == "2023-11-14T22:13:20Z"
    annotations = payload["annotations"]
    assert annotations["summary"] == (
        "Acme Corporation: negative volume 14 in 1h, usually 1.2 (surprise 6.2)"
    )
    assert (
        "Acme recalls 40,000 kettles after fires (wire, 2008-09-15T12:00:00Z)"
        in (annotations["description"])
    )
    assert "https://news.example/acme" in annotations["description"]
    assert "← tipped the rule" in annotations["description"]
    assert annotations["factors"] == "volume ×4, tone ×2.1, novelty ×1"
    assert annotations["notified"] == "direct"


def test_a_rise_is_posted_beside_the_lower_severity() -> None:
    lower, higher = to_payloads(risen(made_alert()), ends_at_ms=NOW_MS)
    assert lower["labels"]["severity"] == "warning"
    assert lower["startsAt"] == "2008-09-15T12:00:00Z"
    assert higher["labels"]["severity"] == "critical"
    assert higher["startsAt"] == "2008-09-15T12:01:00Z"
    assert lower["labels"] | {"severity": "critical"} == higher["labels"]


def test_an_alert_never_starts_after_its_end() -> None:
    payload = to_payload(made_alert(), ends_at_ms=START_MS - 1)
    assert payload["startsAt"] == payload["endsAt"]


def test_untrusted_text_stays_on_its_line() -> None:
    evidence = made_alert().evidence[0]
    evil = evidence.model_copy(
        update={"excerpt": "a\n- forged\x1b[31m line", "url": "javascript:alert(1)"}
    )
    description = to_payload(made_alert(evidence=(evil,)), ends_at_ms=NOW_MS)["annotations"][
        "description"
    ]
    assert description.count("\n") == 2
    assert "\x1b" not in description
    assert "javascript" not in description


def test_alerts_are_posted_to_the_api_under_the_path_prefix() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200)

    client_of(answer).push(to_payloads(made_alert(), ends_at_ms=NOW_MS))
    assert str(requests[0].url) == "http://alerts.example/prefix/api/v2/alerts"
    posted: list[dict[str, Any]] = json.loads(requests[0].content)
    assert posted[0]["labels"] == identity(made_alert())


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_fault_that_passes_is_tried_again(status: int) -> None:
    answers = [httpx.Response(status), httpx.Response(200)]
    waits: list[float] = []
    client_of(lambda _: answers.pop(0), waits).push([])
    assert len(waits) == 1


def test_a_fault_that_stays_is_an_error_that_names_the_address() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    waits: list[float] = []
    with pytest.raises(AlertmanagerError, match=r"alerts\.example.*connection refused"):
        client_of(refuse, waits).push([])
    assert len(waits) == 2


def test_a_refusal_is_not_tried_again() -> None:
    waits: list[float] = []
    with pytest.raises(AlertmanagerRefusalError, match="answered 400: bad labels"):
        client_of(lambda _: httpx.Response(400, text="bad labels"), waits).push([])
    assert waits == []


@pytest.mark.parametrize("url", ["alerts.example:9093", "", "http://", "ftp://x", "http://a:port"])
def test_an_address_that_is_none_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"alertmanager\.url: expected an address"):
        AlertmanagerClient(url)


def test_a_password_in_the_address_is_not_shown() -> None:
    client = AlertmanagerClient(
        "http://user:sesame@alerts.example",
        http=httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(400))),
    )
    with pytest.raises(AlertmanagerError) as caught:
        client.push([])
    assert "sesame" not in str(caught.value)


def test_alerts_on_the_prometheus_route_are_told_by_their_annotation() -> None:
    there = identity(made_alert())
    body = [
        {"labels": there, "annotations": {"notified": "prometheus"}},
        {"labels": there | {"subject": "ours"}, "annotations": {"notified": "direct"}},
    ]
    found = client_of(lambda _: httpx.Response(200, json=body)).on_prometheus_route()
    assert found == {frozenset(there.items())}


@pytest.mark.parametrize("text", ["<html>", "{}x", '[{"labels": 1}]', "[1]"])
def test_an_answer_that_is_not_alertmanagers_is_an_error(text: str) -> None:
    with pytest.raises(AlertmanagerError, match="does not answer like Alertmanager"):
        client_of(lambda _: httpx.Response(200, text=text)).on_prometheus_route()
