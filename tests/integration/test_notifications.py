"""What people are told of an alert, by real Alertmanager and a real `undertone notify`.

Slack, the robots and the mail server are stand-ins; the configuration and templates are those of
`deploy/`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from made_alerts import made_alert, resolved, risen
from servers import alertmanager, binary, free_port
from stand_ins import (
    ACCESS_TOKEN,
    KEY,
    SECRET,
    Chats,
    Inbox,
    MailServer,
    html_of,
    plain_of,
    text_of,
)
from undertone.alerting.alertmanager import AlertmanagerClient
from undertone.alerting.notifier import Notifier
from undertone.records import Alert

pytestmark = [pytest.mark.prometheus, pytest.mark.slow]

TOKEN = "only-for-this-test"
BOARD = "https://board.example/u"
RECEIVERS = ("slack", "email", "wecom", "dingtalk")
HOSTILE = (
    '<!channel> <b onclick="x()">&amp; [a](http://evil.example) '
    "![p](http://evil.example/p.png) **bold** `code` <@all> <http://evil.example|bank>"
)


@contextmanager
def notify(
    chats: Chats, log: Path, end: signal.Signals = signal.SIGTERM, status: int = 0
) -> Iterator[str]:
    """A real `undertone notify` for the stand-ins, ended by a signal; yields its URL."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("UNDERTONE_")}
    settings = {
        "UNDERTONE_NOTIFY__TOKEN": TOKEN,
        "UNDERTONE_NOTIFY__WECOM__URL": chats.wecom_url,
        "UNDERTONE_NOTIFY__DINGTALK__URL": chats.dingtalk_url,
        "UNDERTONE_NOTIFY__DINGTALK__SECRET": SECRET,
    }
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "undertone", "notify", "--port", "0", "--verbose"],
            cwd=log.parent,
            env={**mine, **settings},
            stderr=file,
        )
    try:
        deadline = time.monotonic() + 60
        while "listening: http://127.0.0.1:" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield log.read_text().split()[1]
    finally:
        process.send_signal(end)
        assert process.wait(30) == status, log.read_text()


@dataclass(frozen=True)
class Stack:
    """Alertmanager, and all that it tells."""

    client: AlertmanagerClient
    notifier: Notifier
    chats: Chats
    mail: MailServer
    log: Path

    @property
    def inboxes(self) -> tuple[Inbox, ...]:
        return self.chats.slack, self.mail.inbox, self.chats.wecom, self.chats.dingtalk

    def push(self, alert: Alert) -> None:
        self.notifier.alert(alert, 0)
        self.notifier.push_due()

    def told(self, word: str, count: int) -> list[list[Any]]:
        """What each of the four was told, once each has been told so often."""
        return [inbox.wait_for(word, count) for inbox in self.inboxes]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    binary("prometheus-alertmanager", "alertmanager")
    folder = tmp_path_factory.mktemp("notifications")
    with ExitStack() as servers:
        chats = servers.enter_context(Chats())
        mail = servers.enter_context(MailServer(free_port()))
        receiver_url = servers.enter_context(notify(chats, folder / "notify.log"))
        (folder / "slack-url").write_text(chats.slack_url)

        def change(document: dict[str, Any]) -> None:
            document["global"]["smtp_smarthost"] = mail.address
            document["global"]["smtp_require_tls"] = False
            receivers = {receiver["name"]: receiver for receiver in document["receivers"]}
            receivers["slack"]["slack_configs"][0]["api_url_file"] = str(folder / "slack-url")
            for name in ("wecom", "dingtalk"):
                webhook = receivers[name]["webhook_configs"][0]
                webhook["url"] = f"{receiver_url}/v1/{name}"
                webhook["http_config"] = {"authorization": {"credentials": TOKEN}}
            everyone = [{"receiver": name, "continue": True} for name in RECEIVERS]
            document["route"]["routes"][0]["routes"] = everyone
            document["route"]["routes"] += [
                {**route, "group_wait": "1s", "group_interval": "1s"} for route in everyone
            ]

        url = servers.enter_context(
            alertmanager(folder / "alertmanager", "http://127.0.0.1:9/unused", "unused", change)
        )
        client = AlertmanagerClient(url)
        servers.callback(client.close)
        notifier = Notifier(
            client,
            set_notified=lambda _alert_id, _route: None,
            wall_clock_ms=lambda: time.time_ns() // 1_000_000,
            board_url=BOARD,
        )
        yield Stack(client, notifier, chats, mail, folder / "notify.log")


def test_everyone_is_told_what_how_unusual_why_and_where_to_look(stack: Stack) -> None:
    alert = made_alert(subject="kettles")
    stack.push(alert)
    for (told,) in stack.told("kettles-1", 1):
        text = text_of(told)
        for said in (
            "Acme Corporation: negative volume 14 in 1h, usually 1.2 (surprise 6.2)",
            "How unusual: as high as in 1 of 1.8 million usual windows of 1h",
            "Why: volume ×4, tone ×2.1, novelty ×1",
            "Acme recalls 40,000 kettles after fires",
            "https://news.example/acme",
            "wire, 2008-09-15T12:00:00Z",
            "Rule negative-surge, since 2008-09-15 12:00 UTC",
            f"{BOARD}/alerts/kettles-1",
            "WARNING",
        ):
            assert said in text
    stack.push(resolved(alert))
    for told in stack.told("kettles-1", 2):
        assert "RESOLVED" in text_of(told[1])
        assert "How unusual" not in text_of(told[1])


def test_links_are_links(stack: Stack) -> None:
    stack.push(made_alert(subject="links"))
    (slack,), (mail,), (wecom,), (dingtalk,) = stack.told("links-1", 1)
    headline, url = "Acme recalls 40,000 kettles after fires", "https://news.example/acme"
    (attachment,) = slack["attachments"]
    assert f"• <{url}|{headline}> — wire" in attachment["text"]
    assert f"<{BOARD}/alerts/links-1|Open the evidence>" in attachment["text"]
    assert attachment["title_link"] == f"{BOARD}/alerts/links-1"
    assert attachment["color"] == "warning"
    assert f'<a href="{url}">{headline}</a>' in html_of(mail)
    assert f"  * {headline} (wire, 2008-09-15T12:00:00Z)\n    {url}" in plain_of(mail)
    assert mail["Subject"].startswith("[WARNING] Acme Corporation: negative volume 14")
    for text in (wecom, dingtalk["text"]):
        assert f"· [{headline}]({url}) — wire" in text
        assert f"[Open the evidence]({BOARD}/alerts/links-1)" in text


def test_of_several_rules_the_loudest_gives_the_title_and_its_link(stack: Stack) -> None:
    severities = {"several-1": "info", "several-2": "critical", "several-3": "warning"}
    for name, severity in severities.items():
        alert = made_alert(id=name, rule=name, name=name, subject="several", severity=severity)
        stack.notifier.alert(alert, 0)
    stack.notifier.push_due()
    (slack, *_), (mail, *_), (wecom, *_), (dingtalk, *_) = stack.told("several-3", 1)
    (attachment,) = slack["attachments"]
    assert attachment["title_link"] == f"{BOARD}/alerts/several-2"
    assert attachment["color"] == "danger"
    for title in (attachment["title"], mail["Subject"], wecom, dingtalk["title"]):
        assert title.lstrip("*")[1:].startswith("CRITICAL")
        assert "several-2" in title.splitlines()[0]


def test_a_rise_in_severity_is_told_once_and_its_end_once(stack: Stack) -> None:
    alert = made_alert(subject="rising")
    stack.push(alert)
    stack.told("rising-1", 1)
    stack.push(risen(alert))
    stack.told("rising-1", 2)
    stack.push(resolved(risen(alert)))
    for first, rise, end, *more in stack.told("rising-1", 3):
        assert "WARNING" in text_of(first)
        assert "CRITICAL" in text_of(rise)
        assert "WARNING" not in text_of(rise)
        assert more == []
        words = plain_of(end) if hasattr(end, "get_body") else text_of(end)
        assert words.count("Rule negative-surge") == 1


def test_hostile_text_arrives_as_text(stack: Stack) -> None:
    evidence = made_alert().evidence[0]
    evil = evidence.model_copy(
        update={
            "excerpt": HOSTILE,
            "url": "https://news.example/a)|b>[c]*<script>",
            "source": "<i>",
        }
    )
    worse = evil.model_copy(update={"message_id": "m2", "url": "javascript:alert(1)"})
    stack.push(made_alert(subject="hostile", name="<b>Acme</b>\nB", evidence=(evil, worse)))
    (slack,), (mail,), (wecom,), (dingtalk,) = stack.told("hostile-1", 1)
    (attachment,) = slack["attachments"]
    for words in (attachment["title"], attachment["fallback"], attachment["text"]):
        assert "<!" not in words and "<@" not in words and "<b" not in words and "`" not in words
    assert "&lt;!channel&gt; &lt;b onclick" in attachment["text"]
    assert "&amp;amp; [a]" in attachment["text"]
    assert attachment["text"].count("<") == 2  # the first headline's link and the board's
    html = html_of(mail)
    assert "&lt;!channel&gt;" in html
    assert "<b" not in html.replace("<body", "").replace("<br", "")
    assert "javascript:" not in html and "<script" not in html
    assert html.count("<a href=") == 3
    assert "\n" not in mail["Subject"]
    for text in (wecom, dingtalk["text"]):
        assert "<" not in text and "`" not in text and "![" not in text
        assert text.count("](") == 2  # the first headline's link and the board's
        assert "](http://evil" not in text
        assert text.count("**") == 2  # the title's


def test_an_alert_by_the_prometheus_rule_and_one_on_health_say_what_they_know(
    stack: Stack,
) -> None:
    labels = {"alertname": "UndertoneSentiment", "subject": "ruled", "severity": "warning"}
    said = {"summary": "ruled: surge (warning)", "description": "The rule surge fires for ruled."}
    down = {"alertname": "UndertoneDown", "severity": "critical", "instance": "ruled:9108"}
    ends_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    stack.client.push(
        [
            {"labels": {**labels, "rule": "surge"}, "annotations": said, "endsAt": ends_at},
            {"labels": down, "annotations": {"summary": "ruled:9108 is down"}, "endsAt": ends_at},
        ]
    )
    for told in stack.told("ruled", 2):
        both = "".join(map(text_of, told))
        assert "ruled: surge (warning)" in both and "The rule surge fires for ruled." in both
        assert "Rule surge, since" in both
        assert "ruled:9108 is down" in both and "UndertoneDown, since" in both
        assert "How unusual" not in both and "evidence" not in both.lower()


def test_what_a_robot_refuses_is_sent_again_to_it_alone(stack: Stack) -> None:
    stack.chats.wecom_codes.append(-1)
    stack.push(made_alert(subject="refused"))
    for told in stack.told("refused-1", 1):
        assert len(told) == 1
    assert not stack.chats.wecom_codes
    log = stack.log.read_text()
    assert "wecom refused (errcode -1): system busy" in log
    for secret in (KEY, ACCESS_TOKEN, SECRET, TOKEN):
        assert secret not in log


def test_a_trial_message_reaches_each_robot(tmp_path: Path) -> None:
    with Chats() as chats:
        environment = {
            **os.environ,
            "UNDERTONE_NOTIFY__WECOM__URL": chats.wecom_url,
            "UNDERTONE_NOTIFY__DINGTALK__URL": chats.dingtalk_url.replace("token-", "other-"),
            "UNDERTONE_NOTIFY__DINGTALK__SECRET": SECRET,
        }
        done = subprocess.run(
            [sys.executable, "-m", "undertone", "notify", "--test"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stdout == "wecom: sent\n"
    assert done.stderr == "undertone: dingtalk refused (errcode 300001): token is not exist\n"
    assert "a trial message" in text_of(chats.wecom.about("")[0])


def test_only_who_knows_the_token_may_post(tmp_path: Path) -> None:
    with Chats() as chats, notify(chats, tmp_path / "log", signal.SIGINT, 130) as url:
        post = f"{url}/v1/wecom"
        assert httpx.post(post, json={"alerts": []}).status_code == 401
        headers = {"Authorization": "Bearer wrong"}
        assert httpx.post(post, json={"alerts": []}, headers=headers).status_code == 401
        assert httpx.get(f"{url}/metrics").status_code == 401
        assert httpx.get(f"{url}/healthz").is_success
    assert chats.wecom.about("") == []
