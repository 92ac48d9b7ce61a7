"""Ingest on a real broker: the log keeps recorded time, and nothing good is lost."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from topic_logs import raw_records
from undertone.cli import ingest
from undertone.errors import BrokerError, TopicError
from undertone.ingest.planning import Arrival, Routes, TickPolicy, TimedRecord, plan
from undertone.ingest.service import Ingestor, in_recorded_time
from undertone.records import Kind, RawMessage, parse_instant
from undertone.settings import KafkaSettings, Settings
from undertone.simulate.scenarios import build_scenario
from undertone.transport.codec import tick_instant
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.raw_topics import prepare_topics

pytestmark = pytest.mark.kafka


@pytest.fixture
def settings(broker: EmbeddedBroker, prefix: str) -> Settings:
    return Settings(prefix=prefix, kafka=KafkaSettings(bootstrap=broker.bootstrap))


def invoke(settings: Settings, *arguments: str) -> Any:
    options = ["--prefix", settings.prefix, "--bootstrap", settings.kafka.bootstrap]
    app = typer.Typer()
    app.command()(ingest.command)
    return CliRunner().invoke(app, [*arguments, *options])


def test_the_stamps_on_the_broker_are_the_recorded_arrivals(settings: Settings) -> None:
    settings = in_recorded_time(settings)
    scenario = build_scenario("malformed", messages=400)
    prepare_topics(settings)
    sent: list[tuple[TimedRecord, float]] = []
    ingestor = Ingestor(
        settings.kafka, on_sent=lambda record, at: sent.append((record, at)), clock=lambda: 7.0
    )
    routes = Routes(settings.effective_raw_topics)
    records = plan(scenario.arrivals(), routes, TickPolicy.for_speed(None), end_ms=scenario.end_ms)
    counts = ingestor.run(records)

    log = raw_records(settings)
    written = [record for records in log.values() for record in records]
    assert counts.ingested == 400
    assert len(written) == counts.ingested + counts.ticks == len(sent)
    assert {at for _, at in sent} == {7.0}
    messages = [record for record in written if record.value is not None]
    arrivals = Counter((arrival.value, arrival.at_ms) for arrival in scenario.arrivals())
    assert Counter((record.value, record.timestamp) for record in messages) == arrivals
    assert set(log) == {
        (topic.name, number)
        for topic in settings.effective_raw_topics
        for number in range(topic.partitions)
    }
    for records_of_one in log.values():
        stamps = [record.timestamp for record in records_of_one]
        assert stamps == sorted(stamps)
        assert records_of_one[0].value is None
        assert records_of_one[-1].value is None
        assert tick_instant(records_of_one[-1].headers) == scenario.end_ms


def test_the_command_counts_rejects_and_keeps_them_with_their_lines(
    settings: Settings, tmp_path: Path
) -> None:
    rows = [
        {
            "id": f"m{n}",
            "source": "wire",
            "kind": "news",
            "text": f"story {n}",
            "published_at": f"2008-09-15T00:{n:02}:00Z",
        }
        for n in range(40)
    ]
    lines = [json.dumps(row) for row in rows]
    lines.insert(3, "not JSON")
    lines.append(json.dumps(rows[0] | {"published_at": "2008-09-15T00:00:00"}))
    lines.append(json.dumps(rows[0] | {"published_at": "2999-01-01T00:00:00Z"}))
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    result = invoke(
        settings,
        str(tmp_path / "rows.jsonl"),
        "--speed=max",
        "--delay=30s",
        "--until=2008-09-15T00:30:30Z",
        f"--rejects={tmp_path / 'rejects.jsonl'}",
        "--json",
    )
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["ingested"] == 30
    assert summary["rejected"] == 2  # --until leaves out what lies beyond it, far as it may be
    assert summary["ticks"] > 0
    rejects = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [reject["line"] for reject in rejects] == [4, 42]
    assert rejects[0]["text"] == "not JSON"
    stamps = {
        RawMessage.from_json(record.value).id: record.timestamp
        for records in raw_records(settings).values()
        for record in records
        if record.value is not None
    }
    assert stamps["m29"] == parse_instant("2008-09-15T00:29:30Z")


def test_live_messages_are_stamped_on_append_without_ticks(
    settings: Settings, tmp_path: Path
) -> None:
    row = '{"source": "wire", "published_at": "2008-09-15T00:00:00Z", "text": "late again"}\n'
    (tmp_path / "rows.jsonl").write_text(row * 3)
    result = invoke(settings, str(tmp_path / "rows.jsonl"), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["ticks"] == 0
    written = [record for records in raw_records(settings).values() for record in records]
    assert len(written) == 3
    assert all(record.timestamp > parse_instant("2024-01-01T00:00:00Z") for record in written)

    with pytest.raises(TopicError, match=r"is live: the broker stamps"):
        prepare_topics(in_recorded_time(settings))


def test_recorded_topics_take_no_live_messages(settings: Settings) -> None:
    prepare_topics(in_recorded_time(settings))
    with pytest.raises(TopicError, match=r"keeps recorded time.*\n.*--speed max"):
        prepare_topics(settings)


def test_a_file_without_one_good_row_is_a_fault_that_shows_the_first(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text("nothing\nto see\n")
    result = invoke(settings, str(tmp_path / "rows.jsonl"))
    assert result.exit_code == 1
    assert "no row could be ingested (2 rejected)" in str(result.exception)
    assert "line 1: not JSON" in str(result.exception)


def test_a_stamp_that_the_broker_refuses_ends_with_an_error_that_says_why(
    settings: Settings,
) -> None:
    settings = in_recorded_time(settings)
    prepare_topics(settings)
    far_ms = parse_instant("2999-01-01T00:00:00Z")
    records = plan(
        [Arrival(far_ms, b"x", Kind.NEWS)],
        Routes(settings.effective_raw_topics),
        TickPolicy.for_speed(None),
    )
    with pytest.raises(BrokerError, match="more than an hour ahead"):
        Ingestor(settings.kafka).run(records)


def test_no_broker_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    nowhere = Settings(prefix="t", kafka=KafkaSettings(bootstrap="127.0.0.1:1"))
    result = invoke(nowhere, str(tmp_path / "rows.jsonl"))
    assert isinstance(result.exception, BrokerError)
    assert "127.0.0.1:1" in str(result.exception)
