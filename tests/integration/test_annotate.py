"""Alerts become annotations: the real client against the stand-in for Grafana, and real Kafka."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from grafana_standin import ADMIN_TOKEN, VIEWER_TOKEN, Answer, Grafana, grafana
from made_alerts import START_MS, made_alert, resolved, risen
from undertone.cli.main import build_app
from undertone.dashboards.annotate import Annotator, follow_alerts
from undertone.dashboards.client import (
    GrafanaAccessError,
    GrafanaClient,
    GrafanaUnavailableError,
)
from undertone.records import Alert
from undertone.settings import GrafanaSettings, KafkaSettings, Settings
from undertone.transport.clients import producer
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.topics import TopicNames, ensure_topics, topic_specs


class Stage:
    """An annotator, the Grafana that it writes to, and how long it has waited."""

    def __init__(self, standin: Grafana, token: str = ADMIN_TOKEN) -> None:
        self.grafana = standin
        self.stopped = threading.Event()
        self.waits_seconds: list[float] = []
        self.client = GrafanaClient(
            GrafanaSettings.model_validate({"url": standin.url, "token": token})
        )
        self.annotator = Annotator(
            self.client, "t", stopped=self.stopped, sleep=self.waits_seconds.append
        )

    def take(self, *alerts: Alert) -> int:
        return self.annotator.take(alerts)

    def annotations(self) -> list[dict[str, Any]]:
        return list(self.grafana.annotations.values())

    def fail(self, times: int, status: int = 503, *, after_writing: bool = False) -> None:
        """The next requests, or the answers to the next writes, fail so many times."""
        left = [times]

        def disturb(method: str, path: str) -> Answer | None:
            if left[0] and (method != "GET" or not after_writing):
                left[0] -= 1
                if after_writing:
                    self.grafana.disturb = lambda _method, _path: None
                    self.take(made_alert())  # what Grafana did before its answer was lost
                return status, {"message": "later"}
            return None

        self.grafana.disturb = disturb


@pytest.fixture
def stage() -> Iterator[Stage]:
    with grafana() as standin:
        made = Stage(standin)
        yield made
        made.client.close()


def test_an_alert_is_one_annotation_from_its_start_to_its_end(stage: Stage) -> None:
    alert = made_alert()
    assert stage.take(alert) == 1
    (mark,) = stage.annotations()
    assert mark["time"] == mark["timeEnd"] == START_MS
    assert {"undertone", "subject:acme", "severity:warning", "state:firing"} <= set(mark["tags"])
    assert "Acme recalls 40,000 kettles" in mark["text"]
    higher = risen(alert)
    assert stage.take(higher) == 1
    assert "severity:critical" in stage.annotations()[0]["tags"]
    assert stage.take(resolved(higher)) == 1
    (mark,) = stage.annotations()
    assert (mark["time"], mark["timeEnd"]) == (START_MS, START_MS + 7_200_000)
    assert "state:resolved" in mark["tags"]


def test_what_is_read_again_changes_nothing(stage: Stage) -> None:
    alert = made_alert()
    stage.take(alert, resolved(alert))
    stage.grafana.writes.clear()
    assert stage.take(alert) == stage.take(alert, resolved(alert)) == 0
    assert stage.grafana.writes == []
    assert "state:resolved" in stage.annotations()[0]["tags"]


def test_of_many_revisions_read_together_the_newest_is_told_once(stage: Stage) -> None:
    alert = made_alert()
    assert stage.take(resolved(risen(alert)), alert, made_alert(subject="other")) == 2
    assert len(stage.grafana.writes) == 2
    assert len(stage.annotations()) == 2


def test_a_grafana_that_is_away_is_asked_until_it_is_back(stage: Stage) -> None:
    stage.fail(8)
    assert stage.take(made_alert()) == 1
    assert len(stage.annotations()) == 1
    assert stage.waits_seconds[:3] == [0.5, 1, 2]
    assert max(stage.waits_seconds) <= 60


def test_an_answer_that_is_lost_makes_no_second_annotation(stage: Stage) -> None:
    stage.fail(1, 504, after_writing=True)
    assert stage.take(made_alert()) == 0
    assert len(stage.annotations()) == 1


def test_an_annotation_that_is_refused_holds_up_no_other(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = made_alert(id="bad"), made_alert(subject="good")
    stage.grafana.disturb = lambda _method, path: None
    refused = stage.grafana._save_annotation

    def refuse(number: int, body: dict[str, Any], done: str) -> Answer:
        if "alert:bad" in body["tags"]:
            return 400, {"message": "Tags length exceeds the maximum allowed."}
        return refused(number, body, done)

    stage.grafana._save_annotation = refuse  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING):
        assert stage.take(bad, good) == 1
    assert "alert bad was refused" in caplog.text


def test_without_the_right_to_write_it_ends() -> None:
    with grafana() as standin:
        stage = Stage(standin, VIEWER_TOKEN)
        with pytest.raises(GrafanaAccessError, match="403"):
            stage.take(made_alert())
        stage.client.close()


def test_told_to_stop_it_waits_no_longer(stage: Stage) -> None:
    stage.fail(100)
    stage.stopped.set()
    with pytest.raises(GrafanaUnavailableError):
        stage.take(made_alert())


# On a real broker.


@pytest.fixture
def settings(broker: EmbeddedBroker, prefix: str) -> Settings:
    made = Settings(prefix=prefix, kafka=KafkaSettings(bootstrap=broker.bootstrap))
    ensure_topics(made.kafka, topic_specs(made))
    return made


def write(settings: Settings, *values: bytes) -> None:
    with closing(producer(settings.kafka)) as client:
        for value in values:
            client.send(TopicNames(settings.prefix).alerts, value)
        client.flush()


@pytest.mark.kafka
def test_it_goes_on_where_it_ended(stage: Stage, settings: Settings) -> None:
    alert = made_alert()
    write(settings, alert.to_json(), b"no alert", made_alert(subject="other").to_json())
    assert follow_alerts(settings, stage.annotator, stage.stopped, once=True) == 2
    asked: list[str] = []
    stage.grafana.disturb = lambda method, _path: asked.append(method)
    assert follow_alerts(settings, stage.annotator, stage.stopped, once=True) == 0
    assert asked == []
    write(settings, resolved(alert).to_json())
    assert follow_alerts(settings, stage.annotator, stage.stopped, once=True) == 1
    assert len(stage.annotations()) == 2


@pytest.mark.kafka
def test_what_grafana_has_not_taken_is_read_again(stage: Stage, settings: Settings) -> None:
    write(settings, made_alert().to_json())
    stage.fail(100)
    stage.annotator = Annotator(
        stage.client, "t", stopped=stage.stopped, sleep=lambda _seconds: stage.stopped.set()
    )
    assert follow_alerts(settings, stage.annotator, stage.stopped) == 0
    stage.stopped.clear()
    stage.fail(0)
    assert follow_alerts(settings, stage.annotator, stage.stopped, once=True) == 1
    assert len(stage.annotations()) == 1


@pytest.mark.kafka
def test_the_command_annotates_what_is_there(
    stage: Stage, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERTONE_GRAFANA__TOKEN", ADMIN_TOKEN)
    monkeypatch.setenv("UNDERTONE_BOARD__URL", "https://board.example")
    monkeypatch.setattr("undertone.telemetry.configure_logging", lambda **_: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    write(settings, made_alert().to_json())
    where = ["--prefix", settings.prefix, "--bootstrap", settings.kafka.bootstrap]
    arguments = ["dashboards", "annotate", "--grafana", stage.grafana.url, "--once", *where]
    done = CliRunner().invoke(build_app(["dashboards"]), arguments)
    assert done.exit_code == 0, done.exception
    assert "annotations written: 1" in done.stderr
    assert "https://board.example/alerts/acme-1" in stage.annotations()[0]["text"]


@pytest.mark.kafka
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_the_process_in_order(
    stage: Stage, settings: Settings, tmp_path: Path, number: int, status: int
) -> None:
    write(settings, made_alert().to_json())
    written = threading.Event()
    stage.grafana.disturb = lambda method, _path: written.set() if method == "POST" else None
    where = ["--prefix", settings.prefix, "--bootstrap", settings.kafka.bootstrap]
    process = subprocess.Popen(
        [sys.executable, "-m", "undertone", "dashboards", "annotate", *where],
        env={
            **os.environ,
            "UNDERTONE_GRAFANA__URL": stage.grafana.url,
            "UNDERTONE_GRAFANA__TOKEN": ADMIN_TOKEN,
        },
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert written.wait(60)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status, said
    assert "annotations written: 1" in said
    assert "Traceback" not in said and ADMIN_TOKEN not in said
