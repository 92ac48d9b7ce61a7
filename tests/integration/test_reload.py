"""Edited rules and watchlists reach running services; under load nothing is lost meanwhile."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from integration.test_score import (
    Log,
    counted,
    expected_counts,
    expected_mentions,
    recorded_settings,
    scorer,
    send_raw,
    send_ticks,
    watchlist,
)
from integration.watch_workers import Scene
from undertone.cli import reload as reload_command
from undertone.errors import ConfigurationError
from undertone.records import Alert, Mention, TrendPoint
from undertone.running import RunningConfig, read_config
from undertone.settings import Settings
from undertone.transport import clients
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.reading import read_to_end
from undertone.transport.topics import TopicNames, ensure_topics, topic_specs
from undertone.watchlist.subjects import Watchlist
from undertone_models.checkpoint import bundled
from undertone_models.classifier import StubClassifier

pytestmark = pytest.mark.kafka

START_MS = 1_221_480_000_000  # 15 September 2008, 12:00 UTC
MINUTE_MS = 60_000
ACME = "{id: acme, name: Acme Corp, terms: [Acme]}"
ZENITH = "{id: zenith, name: Zenith Air, terms: [Zenith]}"
RULE = (
    "{name: NAME, min_stories: 3, when: [{signal: negative_volume, window: 1h, surprise: LEAST}]}"
)


class Deployment:
    """`score` and `watch` as processes of their own, with files that can be edited."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.names = TopicNames(settings.prefix)
        self.minute = 0
        ensure_topics(settings.kafka, topic_specs(settings))
        document = {
            "prefix": settings.prefix,
            "kafka": {"bootstrap": settings.kafka.bootstrap},
            "mentions_partitions": settings.mentions_partitions,
            "raw_topics": [topic.model_dump(mode="json") for topic in settings.raw_topics],
            "metrics": {"score_port": 0, "watch_port": 0},
            "model": {"engine": "stub"},
            "watchlist": "watchlist.yaml",
            "rules": "rules.yaml",
        }
        (folder / "undertone.yaml").write_text(json.dumps(document))
        self.watch([ACME])
        self.rule("never", 15)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.start("score", "watch")

    def start(self, *names: str) -> None:
        for name in names:
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "undertone", name], cwd=self.folder, stderr=log
                )
        for name in names:
            self.wait(lambda name=name: self.config(name) is not None, f"{name} serves metrics")

    def stop(self, *names: str) -> None:
        for name in names:
            self.processes[name].terminate()
            assert self.processes[name].wait(60) == 0

    def watch(self, subjects: list[str]) -> None:
        (self.folder / "watchlist.yaml").write_text(f"subjects: [{', '.join(subjects)}]")

    def rule(self, name: str, least: float) -> None:
        rule = RULE.replace("NAME", name).replace("LEAST", str(least))
        (self.folder / "rules.yaml").write_text(f"rules: [{rule}]")

    def config(self, name: str) -> RunningConfig | None:
        return read_config(self.processes[name].pid)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def reload(self) -> Result:
        app = typer.Typer()
        app.command()(reload_command.command)
        return CliRunner().invoke(app, ["--config", str(self.folder / "undertone.yaml"), "--json"])

    def send(self, who: str, messages: int) -> None:
        """Bad news of its own each minute, and ticks to every raw partition."""
        places = [
            (topic.name, partition)
            for topic in self.settings.effective_raw_topics
            for partition in range(topic.partitions)
        ]
        with closing(clients.producer(self.settings.kafka)) as producer:
            for _ in range(messages):
                self.minute += 1
                at = START_MS + self.minute * MINUTE_MS
                words = " ".join(hashlib.sha256(f"{who}{at}".encode()).hexdigest()[::4])
                document = {
                    "source": "wire",
                    "published_at": at,
                    "text": f"{who} faces a lawsuit: {words} {self.minute}",
                }
                topic, partition = places[0]
                value = json.dumps(document).encode()
                producer.send(topic, value, partition=partition, timestamp_ms=at)
            send_ticks(producer, places, START_MS + self.minute * MINUTE_MS + MINUTE_MS // 2)

    def alerts(self) -> list[Alert]:
        records = read_to_end(self.settings.kafka, self.names.alerts)
        return [Alert.from_json(record.value) for record in records]

    def mentions(self) -> list[Mention]:
        records = read_to_end(self.settings.kafka, self.names.mentions)
        return [Mention.from_json(each.value) for each in records if each.key is not None]

    def most_in_a_window(self) -> int:
        records = read_to_end(self.settings.kafka, self.names.trends)
        points = (TrendPoint.from_json(record.value) for record in records)
        return max((point.mentions for point in points), default=0)

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            logs = "".join(path.read_text() for path in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, f"{what} took too long\n{logs}"
            time.sleep(0.1)

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait(30)


@pytest.fixture
def deployment(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(recorded_settings(broker, prefix), tmp_path)
    yield made
    made.close()


def outcomes(result: Result) -> list[tuple[str, str, dict[str, str]]]:
    document = json.loads(result.stdout)
    return [(each["name"], each["outcome"], each["versions"]) for each in document["processes"]]


def test_another_checkpoint_is_taken_up_without_a_stop(deployment: Deployment) -> None:
    folder = deployment.folder / "another"
    folder.mkdir()
    for name in ("undertone.json", "config.json", "tokenizer.json", "model.onnx"):
        (folder / name).symlink_to(bundled() / name)
    settings = deployment.folder / "undertone.yaml"
    document = json.loads(settings.read_text())
    document["model"]["path"] = str(folder)
    settings.write_text(json.dumps(document))
    deployment.processes["score"].send_signal(signal.SIGHUP)
    deployment.wait(lambda: "model changed: stub@1" in deployment.log("score"), "the change")
    deployment.processes["score"].send_signal(signal.SIGHUP)  # nothing has changed since
    deployment.stop("score")
    assert deployment.log("score").count("model changed") == 1


@pytest.mark.slow
def test_edited_files_reach_the_running_services_and_wrong_ones_do_not(
    deployment: Deployment,
) -> None:
    first = deployment.config("watch")
    assert first is not None
    deployment.send("Acme", 8)
    deployment.send("Zenith", 4)
    deployment.wait(lambda: deployment.most_in_a_window() == 8, "watching Acme")
    assert {mention.subject for mention in deployment.mentions()} == {"acme"}

    # A lower bar, and one more subject.
    deployment.rule("surge", 2)
    deployment.watch([ACME, ZENITH])
    result = deployment.reload()
    assert result.exit_code == 0, (result.output, deployment.log("watch"))
    told = outcomes(result)
    assert [(name, outcome) for name, outcome, _ in told] == [
        ("score", "taken up"),
        ("watch", "taken up"),
    ]
    now = told[1][2]
    assert now["rules"] != first.versions["rules"]
    assert told[0][2]["watchlist"] == now["watchlist"] != first.versions["watchlist"]
    assert deployment.alerts() == []

    deployment.send("Acme", 2)
    deployment.send("Zenith", 6)
    deployment.wait(
        lambda: {alert.subject for alert in deployment.alerts()} == {"acme", "zenith"},
        "alerts by the new rule",
    )
    fired = [alert for alert in deployment.alerts() if alert.revision == 1]
    assert {alert.rule for alert in fired} == {"surge"}
    assert {alert.rules_version for alert in fired} == {now["rules"]}
    assert {alert.watchlist_version for alert in fired} == {now["watchlist"]}
    assert {alert.name for alert in fired} == {"Acme Corp", "Zenith Air"}
    acme = next(alert for alert in fired if alert.subject == "acme")
    assert acme.observed > 4, "what came before the reload is counted"
    assert sum(each.subject == "zenith" for each in deployment.mentions()) == 6

    # A wrong file is refused, by the command and by the process itself.
    (deployment.folder / "rules.yaml").write_text("rules: [{name: surge, hold: 5}]")
    refused = deployment.reload()
    assert isinstance(refused.exception, ConfigurationError)
    assert outcomes(refused) == []
    deployment.processes["watch"].send_signal(signal.SIGHUP)
    deployment.wait(lambda: "reload refused" in deployment.log("watch"), "the refusal")
    assert "rules.yaml: rules.0.when (surge): is missing" in deployment.log("watch")
    config = deployment.config("watch")
    assert config == RunningConfig({"taken_up": 1, "refused": 1}, now)

    # A rule that is gone ends its alerts; the workers end in order after all this.
    deployment.rule("other", 15)
    assert deployment.reload().exit_code == 0
    deployment.wait(
        lambda: sum(alert.resolved_at is not None for alert in deployment.alerts()) == 2,
        "the end of the alerts",
    )
    deployment.stop("score", "watch")


class Restless:
    """A watchlist that has changed whenever it is looked at, into its equal."""

    def __init__(self) -> None:
        self.taken_up = 0

    def due(self) -> Watchlist:
        return watchlist()

    def done(self) -> None:
        self.taken_up += 1


def test_a_scorer_that_reloads_all_the_time_scores_every_message_once(
    broker: EmbeddedBroker, prefix: str
) -> None:
    settings = recorded_settings(broker, prefix)
    records = send_raw(settings, range(1500))
    expected = expected_mentions(records, settings)
    restless = Restless()
    slow = StubClassifier(delay_seconds=0.005, token_budget=256)
    with closing(Log(settings)) as log:
        with scorer(settings, slow, reloads=restless):
            log.read_until(Log.is_complete)
        assert log.applied() == expected
        assert len(log.mentions) == len(expected)
    assert restless.taken_up > 10
    assert counted(settings) == expected_counts(records, expected)


def test_hangups_under_load_lose_and_repeat_nothing_in_a_watcher(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    scene = Scene(broker.bootstrap, prefix, tmp_path, partitions=2)
    try:
        worker = scene.start()
        scene.wait_for(0, "ready")
        with scene.sending(1000):
            for number in range(1, 6):
                worker.send_signal(signal.SIGHUP)
                scene.wait(
                    lambda number=number: scene.output(0).read_text().count("reloaded: ") >= number,
                    "a reload",
                )
        scene.wait_until_done()
        _, counts, sums = scene.state()
        assert counts == sums == dict(scene.sent)
        assert sum(scene.sent.values()) > 200
        trends = scene.read(scene.names.trends)
        assert len(trends) == sum(scene.sent.values()), "each is written once"
    finally:
        scene.close()
