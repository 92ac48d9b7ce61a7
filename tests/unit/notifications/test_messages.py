"""A notification as Markdown for robots, and what Alertmanager posts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_alerts import made_alert, risen
from undertone.alerting.alertmanager import to_payloads
from undertone.alerting.notice import one_line
from undertone.errors import RecordError
from undertone.notifications.messages import SIGNED, Message, to_message
from undertone.notifications.payload import Payload, read_payload
from undertone.records import Alert

BOARD = "https://board.example"
LIMIT_BYTES = 4096


def posted(*alerts: Alert, status: str = "firing", **changes: Any) -> Payload:
    """What Alertmanager posts of these alerts, in every severity that they were told with."""
    bodies = [
        {**body, "status": status, "annotations": {**body["annotations"], **changes}}
        for alert in alerts
        for body in to_payloads(alert, ends_at_ms=alert.started_at, board_url=BOARD)
    ]
    return Payload.model_validate({"version": "4", "alerts": bodies})


def message(payload: Payload, **options: Any) -> Message:
    return to_message(payload, **{"limit_bytes": LIMIT_BYTES, **options})


def test_an_alert_says_what_how_unusual_why_and_where_to_look() -> None:
    told = message(posted(made_alert()))
    what = "【WARNING】Acme Corporation: negative volume 14 in 1h, usually 1.2 (surprise 6.2)"
    assert told.title == what
    assert told.text.split("\n") == [
        f"**{what}**",
        "How unusual: as high as in 1 of 1.8 million usual windows of 1h",
        "Why: volume ×4, tone ×2.1, novelty ×1",
        "· [Acme recalls 40,000 kettles after fires](https://news.example/acme)"
        " — wire, 2008-09-15T12:00:00Z",
        "Rule negative-surge, since 2008-09-15 12:00 UTC",
        "[Open the evidence](https://board.example/alerts/acme-1)",
        SIGNED,
    ]


def test_severities_of_one_alert_are_one_event() -> None:
    told = message(posted(risen(made_alert()), status="resolved"))
    assert told.title.startswith("【RESOLVED】Acme")
    assert told.text.count("RESOLVED") == 1


def test_the_loudest_comes_first_and_what_still_fires_has_not_ended() -> None:
    low = made_alert(subject="low", name="Low", severity="info")
    both = Payload(
        alerts=(
            *posted(low).alerts,
            *posted(made_alert(), status="resolved").alerts,
            *posted(risen(made_alert())).alerts[1:],
        )
    )
    told = message(both)
    assert told.title.startswith("【CRITICAL】Acme")
    assert told.title.endswith("(+1 more)")
    assert told.text.index("【CRITICAL】Acme") < told.text.index("【INFO】Low")
    assert "RESOLVED" not in told.text


def test_an_alert_without_evidence_says_what_it_knows() -> None:
    alert = {
        "status": "firing",
        "labels": {"alertname": "UndertoneDown", "severity": "critical"},
        "annotations": {"description": "It does not answer."},
        "startsAt": "2026-01-02T05:04:05.123456789+02:00",
    }
    told = message(Payload.model_validate({"alerts": [alert]}))
    assert told.text.split("\n") == [
        "**【CRITICAL】UndertoneDown**",
        "It does not answer.",
        "UndertoneDown, since 2026-01-02 03:04 UTC",
        SIGNED,
    ]


def test_alerts_on_several_instances_are_several_events() -> None:
    alerts = [
        {"status": "firing", "labels": {"alertname": "UndertoneDown", "instance": name}}
        for name in ("a", "b")
    ]
    assert message(Payload.model_validate({"alerts": alerts})).title.endswith("(+1 more)")


def test_a_notification_without_alerts_is_still_a_message() -> None:
    assert message(Payload(alerts=())).text != ""


def test_a_long_message_loses_the_length_of_headlines_first() -> None:
    stories = tuple(
        made_alert()
        .evidence[0]
        .model_copy(update={"message_id": f"m{n}", "excerpt": "雷曼兄弟申请破产保护" * 28})
        for n in range(3)
    )
    whole = message(posted(made_alert(evidence=stories)), limit_bytes=16_000).text
    cut = message(posted(made_alert(evidence=stories)), limit_bytes=2_000).text
    assert len(whole.encode()) > 2_000 >= len(cut.encode())
    assert cut.count("· [雷曼") == 3
    assert "Open the evidence" in cut


def test_too_many_alerts_are_counted() -> None:
    alerts = [made_alert(subject=f"s{n}", name=f"Subject {n}") for n in range(50)]
    told = message(posted(*alerts))
    assert len(told.text.encode()) <= LIMIT_BYTES
    named = told.text.count("**【WARNING】")
    assert named > 5
    assert f"… and {50 - named} more" in told.text


def test_alerts_that_alertmanager_left_out_are_counted() -> None:
    payload = posted(made_alert()).model_copy(update={"left_out": 7})
    assert "… and 7 more" in message(payload).text


TEXTS = st.text(alphabet=st.sampled_from("<>[]()`*_#!|~\\&@\n \x00a雷é"), max_size=60)


@given(name=TEXTS, excerpt=TEXTS, source=TEXTS, url=TEXTS, rule=TEXTS)
def test_no_text_becomes_markup(name: str, excerpt: str, source: str, url: str, rule: str) -> None:
    evidence = (
        made_alert()
        .evidence[0]
        .model_copy(
            update={"excerpt": excerpt, "source": source, "url": f"https://news.example/{url}"}
        )
    )
    alert = made_alert(name=name, rule=rule or "r", evidence=(evidence,))
    text = message(posted(alert)).text
    assert len(text.encode()) <= LIMIT_BYTES
    links = re.compile(r"\[([^][]+)\]\(https://[^][()*<>`|\\\s]*\)")
    words = links.sub(r"\1", text)
    assert len(links.findall(text)) == 1 + bool(one_line(excerpt, 280))
    assert not set(words) & set("<>[]`_#~\\|")
    assert words.count("*") == 4  # the heading's


@given(limit=st.integers(min_value=120, max_value=5_000), line_end=st.sampled_from(["\n", "\n\n"]))
def test_no_limit_is_passed(limit: int, line_end: str) -> None:
    alerts = [made_alert(subject=f"s{n}", name="雷曼兄弟") for n in range(4)]
    told = message(posted(*alerts), limit_bytes=limit, line_end=line_end)
    assert len(told.text.encode()) <= limit


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"alerts": 1}',
        b'{"alerts": [{"status": "hot", "labels": {}}]}',
        b"\xff",
    ],
)
def test_a_body_that_is_not_alertmanagers_is_refused(body: bytes) -> None:
    with pytest.raises(RecordError, match="not a notification of Alertmanager"):
        read_payload(body)
