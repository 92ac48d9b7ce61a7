"""Replay against a live run on a real broker: two of each service, killed and rebalanced.

The classifier is the stub: how a sentence is read is not the question here.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition
from typer.testing import CliRunner

from builders import MINUTE_MS, START_MS, mention, progress
from undertone.cli.main import build_app
from undertone.demo.session import DemoResult, DemoSession
from undertone.demo.stream import DemoStream, scripted_stream
from undertone.errors import UndertoneError
from undertone.ingest.service import in_recorded_time
from undertone.records import Alert, AlertState, format_instant
from undertone.replay.mentions_source import MentionsSource
from undertone.replay.steps import Counts, Span
from undertone.settings import KafkaSettings, Settings
from undertone.transport.clients import admin_client, consumer, producer
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.topics import FOR_EVER, TopicNames, TopicSpec, ensure_topics

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(500)]

MESSAGES = 1_000
PLAY_SECONDS = 12.0
FINISH_SECONDS = 300.0


@dataclass(frozen=True)
class Live:
    """A live run that is over: what it found, and where it stands on the broker."""

    settings: Settings
    stream: DemoStream
    result: DemoResult
    cache: Path

    def replay(self, out: Path, *arguments: str) -> dict[str, Any]:
        """Run the command against it; its JSON."""
        options = ["--bootstrap", self.settings.kafka.bootstrap, "--engine", "stub"]
        options += ["--watchlist", str(self.stream.watchlist), "--out", str(out), "--json"]
        options += ["--store", str(self.cache / "store.sqlite")]
        result = CliRunner().invoke(
            build_app(["replay", "score"]), ["replay", *arguments, *options], catch_exceptions=False
        )
        assert result.exit_code == 0, result.output
        document: dict[str, Any] = json.loads(result.stdout)
        return document

    @property
    def raw(self) -> list[str]:
        """The options that name its raw topics."""
        names = [topic.name for topic in self.settings.effective_raw_topics]
        return [part for name in names for part in ("--topic", name)]

    @property
    def mentions(self) -> str:
        return TopicNames(self.settings.prefix).mentions


@pytest.fixture(scope="module")
def live(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Live:
    """Two scorers and two watchers; one of each is killed and started again on the way."""
    folder = tmp_path_factory.mktemp("live")
    stream = scripted_stream("demo", 3, folder, messages=MESSAGES)
    settings = in_recorded_time(
        Settings(prefix="lived", kafka=KafkaSettings(bootstrap=broker.bootstrap))
    )
    plan = [(0.3, "score"), (0.5, "watch"), (0.7, "watch")]
    done: list[str] = []

    def disturb(session: DemoSession) -> None:
        if len(done) < len(plan):
            share, name = plan[len(done)]
            if session.sent.messages > share * len(stream.arrivals):
                session.services[f"{name}-1"].kill()
                session.start_service(name)
                done.append(name)

    with DemoSession(settings, stream, folder, engine="stub") as session:
        session.start(scorers=2, watchers=2)
        session.play(stream.span_ms / 1000 / PLAY_SECONDS, lambda: disturb(session))
        result = session.finish(FINISH_SECONDS)
    assert len(done) == len(plan)
    assert any(alert.state is AlertState.FIRING for alert in result.alerts)
    return Live(settings, stream, result, folder)


def alerts_in(folder: Path) -> list[bytes]:
    return (folder / "alerts.jsonl").read_bytes().splitlines()


def told(alerts: list[Alert]) -> list[tuple[str, str, int]]:
    """Rule, subject and minute of everything that fired, in order."""
    return sorted(
        (alert.rule, alert.subject, alert.detected_at)
        for alert in alerts
        if alert.state is AlertState.FIRING and alert.revision == 1
    )


def same_within_a_minute(found: list[Alert], expected: list[Alert]) -> bool:
    pairs = zip(told(found), told(expected), strict=True)
    return all(a[:2] == b[:2] and abs(a[2] - b[2]) <= MINUTE_MS for a, b in pairs)


def test_the_mentions_log_gives_the_alerts_of_the_live_run_to_the_byte(
    live: Live, tmp_path: Path
) -> None:
    document = live.replay(tmp_path, "--topic", live.mentions)
    assert alerts_in(tmp_path) == [alert.to_json() for alert in live.result.alerts]
    assert document["mentions"] == live.result.counts["mentions"]
    assert document["messages"] == live.result.counts["scored"]
    assert document["models"] == {"stub@1": document["mentions"]}


def test_the_raw_topics_give_the_same_counts_and_the_same_alerts_within_a_minute(
    live: Live, tmp_path: Path
) -> None:
    document = live.replay(tmp_path / "one", *live.raw)
    counts = live.result.counts
    assert document["messages"] == counts["messages_in"]
    for name in ("mentions", "unmatched", "dead_letters", "unscored"):
        assert document[name] == counts[name], name
    found = [Alert.from_json(line) for line in alerts_in(tmp_path / "one")]
    assert same_within_a_minute(found, live.result.alerts)
    # The second time nothing is read or scored, and nothing changes.
    again = live.replay(tmp_path / "two", *live.raw)
    assert any("come from the store" in note for note in again["notes"])
    assert alerts_in(tmp_path / "one") == alerts_in(tmp_path / "two")


def test_what_two_scorers_and_two_watchers_wrote_makes_the_same_report(
    live: Live, tmp_path: Path
) -> None:
    document = live.replay(tmp_path, "--report-from-prefix", live.settings.prefix)
    assert alerts_in(tmp_path) == [alert.to_json() for alert in live.result.alerts]
    counts = live.result.counts
    assert document["messages"] == counts["messages_in"]
    for name in ("mentions", "unmatched", "unscored"):
        assert document[name] == counts[name], name
    assert not any("still to read" in note for note in document["notes"])
    assert (tmp_path / "report.html").stat().st_size > 1_000


def test_a_range_reads_its_warm_up_and_drops_what_was_told_in_it(
    live: Live, tmp_path: Path
) -> None:
    first = next(a for a in live.result.alerts if a.state is AlertState.FIRING)
    start = first.detected_at + 1
    until = live.stream.end_ms
    document = live.replay(
        tmp_path,
        *("--topic", live.mentions, "--from", format_instant(start)),
        *("--to", format_instant(until), "--warm-up", "400d"),
    )
    expected = [a for a in live.result.alerts if start <= a.detected_at < until]
    found = [Alert.from_json(line) for line in alerts_in(tmp_path)]
    assert [a for a in found if a.detected_at < until] == expected
    assert any("log begins" in note for note in document["notes"])


def test_a_replay_leaves_no_trace_on_the_broker(live: Live, tmp_path: Path) -> None:
    def state() -> tuple[Any, ...]:
        with admin_client(live.settings.kafka) as admin:
            topics = sorted(admin.list_topics())
            groups = sorted(group["group_id"] for group in admin.list_groups())
            committed = admin.list_group_offsets(["lived.score"])["lived.score"]
        with closing(consumer(live.settings.kafka)) as client:
            places = [
                TopicPartition(topic, number)
                for topic in topics
                if topic.startswith("lived.")
                for number in sorted(client.partitions_for_topic(topic))
            ]
            return topics, groups, sorted(committed.items()), client.end_offsets(places)

    before = state()
    live.replay(tmp_path / "a", "--topic", live.mentions)
    live.replay(tmp_path / "b", *live.raw, "--from", "offset:0")
    assert state() == before


def test_mentions_that_a_scorer_has_written_again_are_read_once(
    broker: EmbeddedBroker, prefix: str
) -> None:
    kafka = KafkaSettings(bootstrap=broker.bootstrap)
    topic = TopicNames(prefix).mentions
    ensure_topics(kafka, [TopicSpec(topic, 1, FOR_EVER)])
    mentions = [mention(START_MS + n, n) for n in range(4)]
    end = progress(START_MS + MINUTE_MS)
    with closing(producer(kafka)) as client:
        for record in [*mentions[:3], *mentions[1:], end]:
            client.send(topic, value=record.to_json(), partition=0)
    counts = Counts()
    read = [step.record for step in MentionsSource(kafka, topic, Span()).steps(counts)]
    assert read == [*mentions, end]
    assert counts.mentions == 4


def test_offsets_and_topics_that_do_not_exist_are_told(live: Live, tmp_path: Path) -> None:
    with pytest.raises(UndertoneError, match="topic nowhere does not exist"):
        live.replay(tmp_path, "--topic", "nowhere")
    with pytest.raises(UndertoneError, match="there is no offset 99999999"):
        live.replay(tmp_path, *live.raw, "--to", "offset:99999999")
