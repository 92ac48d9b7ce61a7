"""`undertone alerts` and `undertone dead-letters` on a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from integration.test_score import (
    END_MS,
    Log,
    counted,
    recorded_settings,
    scorer,
    send_ticks,
)
from made_alerts import START_MS, made_alert, resolved, risen
from undertone.cli import alerts as alerts_command
from undertone.cli import dead_letters as letters_command
from undertone.errors import TopicError, UsageError
from undertone.records import Alert
from undertone.settings import FieldMapping, Settings
from undertone.transport import clients
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.topics import TopicNames, ensure_topics, topic_specs

pytestmark = pytest.mark.kafka

HOSTILE = "\x1b[2J[bold]Acme[/bold]\x9b sinks\u202e"


class Prefix:
    """A deployment's topics and the commands that look at them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.names = settings, TopicNames(settings.prefix)
        self._config = folder / "undertone.yaml"
        fields = {"prefix", "mentions_partitions", "raw_topics"}
        document = settings.model_dump(mode="json", include=fields)
        document["kafka"] = {"bootstrap": settings.kafka.bootstrap}
        self._config.write_text(json.dumps(document))

    def alerts(self, *arguments: str) -> Result:
        return self._run(alerts_command.app, *arguments)

    def letters(self, *arguments: str, say: str | None = None) -> Result:
        return self._run(letters_command.app, *arguments, say=say)

    def _run(self, app: Any, command: str, *arguments: str, say: str | None = None) -> Result:
        options = ["--config", str(self._config)]
        return CliRunner().invoke(app, [command, *options, *arguments], input=say)

    def send_alerts(self, *alerts: Alert) -> None:
        with closing(clients.producer(self.settings.kafka)) as producer:
            for alert in alerts:
                stamp = alert.detected_at
                producer.send(self.names.alerts, alert.to_json(), timestamp_ms=stamp)

    def raw_places(self) -> list[tuple[str, int]]:
        return [
            (topic.name, partition)
            for topic in self.settings.raw_topics
            for partition in range(topic.partitions)
        ]


@pytest.fixture
def deployed(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Prefix:
    settings = recorded_settings(broker, prefix)
    ensure_topics(settings.kafka, topic_specs(settings))
    return Prefix(settings, tmp_path)


def listed(result: Result, name: str = "alerts") -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)[name]
    return found


def test_alerts_are_listed_filtered_and_shown(deployed: Prefix) -> None:
    evidence = made_alert().evidence[0].model_copy(update={"excerpt": HOSTILE})
    acme = made_alert(id="aa11223344556677", name=HOSTILE, evidence=(evidence,))
    zenith = made_alert(id="ab00", subject="zenith", detected_at=START_MS + 3_600_000)
    deployed.send_alerts(acme, risen(acme), acme, zenith, resolved(risen(acme)))

    both = listed(deployed.alerts("list", "--json"))
    assert [(each["id"], each["revision"]) for each in both] == [
        ("aa11223344556677", 3),
        ("ab00", 1),
    ]
    firing = listed(deployed.alerts("list", "--json", "--state", "firing"))
    assert [each["subject"] for each in firing] == ["zenith"]
    since = listed(deployed.alerts("list", "--json", "--since", "2008-09-15T12:30:00Z"))
    assert [each["id"] for each in since] == ["ab00"]

    table = deployed.alerts("list")
    assert "aa11223344" in table.stdout and "negative-surge" in table.stdout
    assert "2 alerts, 1 firing" in table.stderr

    shown = deployed.alerts("show", "aa1").stdout
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown)
    assert r"\x1b[2J[bold]Acme[/bold]\x9b sinks\u202e" in shown
    for text in ("Revisions", "Conditions", "Evidence", "volume × 4.00", "https://news.example"):
        assert text in shown
    document = json.loads(deployed.alerts("show", "aa1", "--json").stdout)
    assert [each["revision"] for each in document["revisions"]] == [1, 2, 3]
    assert document["alert"] == document["revisions"][-1]
    assert isinstance(deployed.alerts("show", "a").exception, UsageError)


def test_a_prefix_that_nobody_uses_is_told(deployed: Prefix) -> None:
    error = deployed.alerts("list", "--prefix", f"{deployed.settings.prefix}x").exception
    assert isinstance(error, TopicError)
    assert "Is the prefix right" in str(error)


@contextmanager
def scored(deployed: Prefix, settings: Settings, end_ms: int) -> Iterator[None]:
    """A scorer reads all that is there, and what is sent meanwhile, up to a tick."""
    with closing(Log(settings)) as log, scorer(settings):
        yield
        with closing(clients.producer(settings.kafka)) as producer:
            send_ticks(producer, deployed.raw_places(), end_ms)
        log.read_until(lambda log: is_complete(log, end_ms))


def is_complete(log: Log, end_ms: int) -> bool:
    known = log.complete.values()
    return all(len(places) == 4 and min(places.values()) >= end_ms for places in known)


def test_records_that_are_retried_with_the_right_settings_are_scored(deployed: Prefix) -> None:
    right, topic = deployed.settings, deployed.raw_places()[0][0]
    mapping = {topic: {"text": FieldMapping(field="body")}}
    wrong = right.model_copy(update={"fields": mapping})
    with closing(clients.producer(right.kafka)) as producer:
        for number in range(4):
            text = f"Acme wins prize {number}" if number else HOSTILE
            message = {"source": "wire", "published_at": START_MS, "text": text}
            value = json.dumps(message).encode()
            producer.send(topic, value, partition=number % 2, timestamp_ms=START_MS + number)
    with scored(deployed, wrong, END_MS):
        pass
    assert counted(right) | {"messages_in": 4, "dead_letters": 4} == counted(right)

    letters = listed(deployed.letters("list", "--json"), "dead_letters")
    assert {each["topic"] for each in letters} == {topic}
    first = f"{topic}/0/0"
    shown = deployed.letters("show", first).stdout
    assert "text: Field required" in shown and r"\u001b[2J" in shown
    assert json.loads(deployed.letters("show", first, "--raw").stdout)["text"] == HOSTILE

    plan = json.loads(deployed.letters("retry", "--all", "--dry-run", "--json").stdout)
    assert len(plan["sent"]) == 4 and plan["sent"][0]["as"] is None
    assert isinstance(deployed.letters("retry", "--all", "--json").exception, UsageError)
    assert deployed.letters("retry", "--all", say="n\n").exit_code == 1
    assert isinstance(deployed.letters("retry").exception, UsageError)
    assert isinstance(deployed.letters("retry", f"{topic}/0/77").exception, UsageError)
    with scored(deployed, right, END_MS + 1000):
        one = deployed.letters("retry", first)
        assert one.exit_code == 0 and f"{first}: sent again as {topic}/0/" in one.stdout
        rest = deployed.letters("retry", "--all", say="y\n")
        assert rest.exit_code == 0 and "3 sent, 1 left" in rest.stderr
        assert "was retried before" in rest.stderr
    totals = counted(right)
    assert (totals["messages_in"], totals["dead_letters"], totals["scored"]) == (8, 4, 4)

    again = json.loads(deployed.letters("retry", "--all", "--yes", "--json").stdout)
    assert again["sent"] == [] and len(again["skipped"]) == 4
    letters = listed(deployed.letters("list", "--json"), "dead_letters")
    assert len(letters) == 4, "marks are no letters"
    assert all(len(each["retried_as"]) == 1 for each in letters)
