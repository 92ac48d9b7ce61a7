"""Alerts and mentions written for tests."""

from __future__ import annotations

from typing import Any

from undertone.alerting.evidence import TippingStory
from undertone.records import (
    Alert,
    AlertState,
    Condition,
    Evidence,
    Factors,
    Kind,
    Mention,
    MentionStatus,
    RawPosition,
    Severity,
    Tipping,
    TrendPoint,
)

START_MS = 1_221_480_000_000  # 15 September 2008, 12:00 UTC
RAW = RawPosition(topic="t.raw.news", partition=1, offset=42)


def made_alert(**changes: Any) -> Alert:
    """A firing alert of severity warning, its first revision."""
    fields: dict[str, Any] = {
        "id": f"{changes.get('subject', 'acme')}-1",
        "rule": "negative-surge",
        "rules_version": "0123456789ab",
        "subject": "acme",
        "name": "Acme Corporation",
        "labels": {"desk": "retail"},
        "severity": Severity.WARNING,
        "state": AlertState.FIRING,
        "revision": 1,
        "started_at": START_MS,
        "detected_at": START_MS,
        "window": "1h",
        "signal": "negative_volume",
        "observed": 14.0,
        "expected": 1.2,
        "surprise": 6.25,
        "conditions": (
            Condition(
                window="1h", signal="negative_volume", observed=14.0, expected=1.2, surprise=6.25
            ),
        ),
        "factors": Factors(volume=4.0, tone=2.1, novelty=1.0),
        "tipping": Tipping(message_id="m1", ingested_at=START_MS, raw=RAW),
        "evidence": (
            Evidence(
                message_id="m1",
                excerpt="Acme recalls 40,000 kettles after fires",
                url="https://news.example/acme",
                source="wire",
                published_at=START_MS,
                p_negative=0.97,
                raw=RAW,
            ),
        ),
        "model": "stub@1",
    }
    return Alert(**(fields | changes))


def made_tipping_story() -> TippingStory:
    """The story that tips the rule of `made_alert`."""
    alert = made_alert()
    return TippingStory(ingested_at=alert.tipping.ingested_at, evidence=alert.evidence[0])


def risen(alert: Alert) -> Alert:
    """The next revision, one severity higher."""
    severity = tuple(Severity)[alert.severity.rank + 1]
    return _next(
        alert,
        severity=severity,
        fired_as=alert.fired_as or alert.severity,
        escalated_at=alert.detected_at + 60_000,
    )


def resolved(alert: Alert) -> Alert:
    """The last revision."""
    return _next(alert, state=AlertState.RESOLVED, resolved_at=alert.detected_at + 7_200_000)


def _next(alert: Alert, **changes: Any) -> Alert:
    return alert.model_copy(update={"revision": alert.revision + 1, **changes})


def made_mention(**changes: Any) -> Mention:
    """A scored, negative mention."""
    fields: dict[str, Any] = {
        "message_id": "m1",
        "subject": "acme",
        "target": "Acme",
        "published_at": START_MS,
        "ingested_at": START_MS,
        "source": "wire",
        "kind": Kind.NEWS,
        "excerpt": "Acme recalls 40,000 kettles after fires",
        "text_hash": "00",
        "fingerprint": "0123456789abcdef",
        "p_negative": 0.75,
        "p_neutral": 0.125,
        "p_positive": 0.125,
        "status": MentionStatus.SCORED,
        "model": "stub@1",
        "raw": RAW,
        "scored_at": START_MS,
    }
    return Mention(**(fields | changes))


def made_trend_point(**changes: Any) -> TrendPoint:
    """A window of five minutes with four stories."""
    fields: dict[str, Any] = {
        "subject": "acme",
        "kind": "news",
        "window": "5m",
        "window_end": START_MS,
        "mentions": 6,
        "stories": 4,
        "negative": 3,
        "neutral": 1,
        "positive": 0,
        "unscored": 0,
        "mean_score": -0.5,
        "negative_share": 0.75,
        "expected_volume": 1.0,
        "expected_negative_volume": 0.25,
        "expected_negative_share": 0.25,
        "expected_mean_score": 0.0,
        "surprise_volume": 1.5,
        "surprise_negative_volume": 2.5,
        "surprise_negative_share": 0.5,
        "surprise_mean_score": 0.25,
        "late": 0,
        "revision": 1,
    }
    return TrendPoint(**(fields | changes))
