"""The main job on a real broker: what is counted and told is the same whatever happens on the way.

The classifier is the stub: how a sentence is read is not the question here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from topic_logs import replayed, values_by_partition, values_of
from undertone.demo.session import DemoResult, DemoSession
from undertone.demo.stream import DemoStream, scripted_stream
from undertone.ingest.service import in_recorded_time
from undertone.settings import KafkaSettings, Settings
from undertone.transport.codec import decode_watch_record
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.topics import TopicNames

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(400)]

MESSAGES = 1_500
PLAY_SECONDS = 15.0
FINISH_SECONDS = 180.0


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> DemoStream:
    return scripted_stream("demo", 3, tmp_path_factory.mktemp("stream"), messages=MESSAGES)


def settings_for(broker: EmbeddedBroker, prefix: str) -> Settings:
    return in_recorded_time(
        Settings(prefix=prefix, kafka=KafkaSettings(bootstrap=broker.bootstrap))
    )


def run(
    settings: Settings,
    stream: DemoStream,
    folder: Path,
    *,
    workers: int = 1,
    disturb: Callable[[DemoSession], None] = lambda _session: None,
) -> DemoResult:
    with DemoSession(settings, stream, folder, engine="stub") as session:
        session.start(scorers=workers, watchers=workers)
        session.play(stream.span_ms / 1000 / PLAY_SECONDS, lambda: disturb(session))
        return session.finish(FINISH_SECONDS)


@pytest.fixture(scope="module")
def calm(
    broker: EmbeddedBroker, stream: DemoStream, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Settings, DemoResult]:
    """An undisturbed run with one of each service."""
    settings = settings_for(broker, "calm")
    return settings, run(settings, stream, tmp_path_factory.mktemp("calm"))


def comparable(result: DemoResult, settings: Settings) -> list[bytes]:
    """All alert revisions as bytes, without the run's own topic prefix."""
    prefix = f'"{settings.prefix}.'.encode()
    return [alert.to_json().replace(prefix, b'"') for alert in result.alerts]


def test_every_message_is_accounted_for(calm: tuple[Settings, DemoResult]) -> None:
    result = calm[1]
    assert result.adds_up
    assert result.sent == result.counts["messages_in"] >= MESSAGES * 0.9
    assert result.counts["dead_letters"] > 0
    assert result.counts["unmatched"] > 0
    assert result.counts["scored"] > 0


def test_each_crisis_is_found_and_shows_its_evidence(calm: tuple[Settings, DemoResult]) -> None:
    result = calm[1]
    assert result.verdict is not None
    assert result.verdict.found and not result.verdict.missed
    assert all(alert.evidence and alert.tipping.message_id for alert in result.alerts)


def test_the_mentions_log_gives_the_same_alerts_and_trends_to_the_byte(
    calm: tuple[Settings, DemoResult], stream: DemoStream
) -> None:
    settings = calm[0]
    names = TopicNames(settings.prefix)
    logs = [
        [decode_watch_record(value) for value in log]
        for _partition, log in sorted(values_by_partition(settings, names.mentions).items())
    ]
    alerts, trends = replayed(settings, stream.watchlist, logs)
    assert sorted(alerts) == sorted(set(values_of(settings, names.alerts)))
    assert sorted(trends) == sorted(set(values_of(settings, names.trends)))


def test_sigkill_of_score_and_watch_changes_neither_counts_nor_alerts(
    broker: EmbeddedBroker,
    prefix: str,
    stream: DemoStream,
    calm: tuple[Settings, DemoResult],
    tmp_path: Path,
) -> None:
    killed: list[str] = []
    plan = [(0.25, "score"), (0.4, "watch"), (0.6, "watch"), (0.75, "score")]

    def disturb(session: DemoSession) -> None:
        if len(killed) < len(plan):
            share, name = plan[len(killed)]
            if session.sent.messages > share * len(stream.arrivals):
                session.services[f"{name}-1"].kill()
                session.start_service(name)
                killed.append(name)

    settings = settings_for(broker, prefix)
    result = run(settings, stream, tmp_path, disturb=disturb)
    assert killed == [name for _share, name in plan]
    assert result.counts == calm[1].counts
    assert comparable(result, settings) == comparable(calm[1], calm[0])


def test_two_scorers_and_two_watchers_share_the_work(
    broker: EmbeddedBroker,
    prefix: str,
    stream: DemoStream,
    calm: tuple[Settings, DemoResult],
    tmp_path: Path,
) -> None:
    settings = settings_for(broker, prefix)
    result = run(settings, stream, tmp_path, workers=2)
    assert result.counts == calm[1].counts
    assert comparable(result, settings) == comparable(calm[1], calm[0])
