"""`undertone serve` takes messages: real requests, a real broker, and a broker that is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka import TopicPartition
from prometheus_client import CollectorRegistry

from undertone.records import RawMessage
from undertone.serving.batcher import UnavailableError
from undertone.serving.messages import RawRecord
from undertone.serving.metrics import ServeMetrics
from undertone.serving.raw_writer import RawWriter
from undertone.settings import KafkaSettings, RawTopic, Settings
from undertone.transport.clients import consumer
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.raw_topics import prepare_topics

pytestmark = pytest.mark.kafka

DEADLINE_SECONDS = 120
ONE = {"source": "wire", "published_at": "2026-01-31T09:30:00Z", "text": "Acme sinks"}


@contextmanager
def served(folder: Path, bootstrap: str, prefix: str, **variables: str) -> Iterator[httpx.Client]:
    """A client of a real `undertone serve` process that is ready."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("UNDERTONE_")}
    with (folder / "stderr").open("w+") as stderr:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "undertone", "serve", "--port", "0", "--engine", "stub",
                "--prefix", prefix, "--bootstrap", bootstrap,
            ],
            cwd=folder, env={**mine, **variables}, stderr=stderr,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + DEADLINE_SECONDS
            url = ""
            while not url or not httpx.get(f"{url}/readyz").is_success:
                said = (folder / "stderr").read_text()
                assert process.poll() is None and time.monotonic() < deadline, said
                url = said.split()[1] if said.count("\n") else ""
                time.sleep(0.05)
            with httpx.Client(base_url=url, timeout=DEADLINE_SECONDS) as client:
                yield client
            process.terminate()
            assert process.wait(DEADLINE_SECONDS) == 0
            assert "Traceback" not in (folder / "stderr").read_text()
        finally:
            process.kill()
            process.wait()


def read_at(settings: Settings, positions: list[dict[str, Any]]) -> list[tuple[Any, RawMessage]]:
    """The records at these positions."""
    found = []
    with closing(consumer(settings.kafka)) as client:
        for position in positions:
            partition = TopicPartition(position["topic"], position["partition"])
            client.assign([partition])
            client.seek(partition, position["offset"])
            record = client.poll(timeout_ms=30_000, max_records=1)[partition][0]
            found.append((record, RawMessage.from_json(record.value)))
    return found


def test_messages_are_in_the_log_where_the_answer_says(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    settings = Settings(prefix=prefix, kafka=KafkaSettings(bootstrap=broker.bootstrap))
    before_ms = round(time.time() * 1000)
    with served(tmp_path, broker.bootstrap, prefix, UNDERTONE_SERVING__TOKEN="s3cret") as client:
        refused = client.post("/v1/messages", json=ONE)
        client.headers["Authorization"] = "Bearer s3cret"
        one = client.post("/v1/messages", json=ONE)
        bodies = [
            {"messages": [{**ONE, "id": f"m{n}-{m}", "kind": "social"} for m in range(5)]}
            for n in range(20)
        ]
        with ThreadPoolExecutor(10) as threads:
            many = list(threads.map(lambda body: client.post("/v1/messages", json=body), bodies))
        named = client.post(f"/v1/messages?topic={prefix}.raw.social", json={**ONE, "id": "x"})
        wrong = client.post("/v1/messages", json={"messages": [ONE, {**ONE, "text": ""}]})
        metrics = client.get("/metrics").text
    assert refused.status_code == 401
    assert [one.status_code, named.status_code, wrong.status_code] == [202, 202, 422]
    assert {response.status_code for response in many} == {202}
    (position,) = one.json()["messages"]
    place = f"{position['topic']}-{position['partition']}-{position['offset']}"
    assert position["id"] == place
    assert position["topic"] == f"{prefix}.raw.news"
    ids = [[position["id"] for position in response.json()["messages"]] for response in many]
    assert ids == [[f"m{n}-{m}" for m in range(5)] for n in range(20)]
    assert "undertone_serve_messages_total 102.0" in metrics
    assert 'undertone_serve_message_requests_total{status="202"} 22.0' in metrics

    positions = [position for response in many for position in response.json()["messages"]]
    assert len({(p["partition"], p["offset"]) for p in positions}) == 100
    for (record, message), told in zip(
        read_at(settings, [*positions[::20], *named.json()["messages"]]),
        [*positions[::20], *named.json()["messages"]],
        strict=True,
    ):
        assert (message.id, record.key.decode(), message.kind) == (told["id"], told["id"], "social")
        assert record.timestamp >= before_ms  # stamped on append: the live clock


def test_a_topic_that_keeps_recorded_time_on_the_broker_takes_none(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    topic = RawTopic(name=f"{prefix}.old", clock="recorded")
    settings = Settings(
        prefix=prefix, kafka=KafkaSettings(bootstrap=broker.bootstrap), raw_topics=(topic,)
    )
    prepare_topics(settings)
    names_it = f'[{{"name": "{topic.name}"}}]'  # the settings take it for live
    with served(tmp_path, broker.bootstrap, prefix, UNDERTONE_RAW_TOPICS=names_it) as client:
        response = client.post("/v1/messages", json=ONE)
    assert response.status_code == 503
    assert "keeps recorded time" in (tmp_path / "stderr").read_text()
    with closing(consumer(settings.kafka)) as client:
        assert set(
            client.end_offsets([TopicPartition(topic.name, n) for n in (0, 1)]).values()
        ) == {0}


@pytest.mark.slow
def test_after_a_failure_what_waits_is_given_up_with_its_producer(prefix: str) -> None:
    topic = RawTopic(name=f"{prefix}.raw", partitions=1)
    one = [RawRecord(topic.name, 0, b"{}", None)]
    too_large = [RawRecord(topic.name, 0, b"x" * (2 << 20), None)]
    with EmbeddedBroker() as broker:
        settings = Settings(
            prefix=prefix, kafka=KafkaSettings(bootstrap=broker.bootstrap), raw_topics=(topic,)
        )
        writer = RawWriter(settings, ServeMetrics(CollectorRegistry()))
        try:
            writer.submit(one).result(DEADLINE_SECONDS)
            os.kill(broker.pid, signal.SIGSTOP)
            waits, fails = writer.submit(one), writer.submit(too_large)
            # Long before its own time is over: the producer has been ended with what it held.
            errors = [future.exception(10) for future in (fails, waits)]
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        again = writer.submit(one).result(DEADLINE_SECONDS)  # by a new producer
        writer.close(5)
    assert [type(error) for error in errors] == [UnavailableError, UnavailableError]
    assert again[0].topic == topic.name


@pytest.mark.slow
def test_a_broker_that_stands_still_comes_back_and_dies(prefix: str, tmp_path: Path) -> None:
    def asked() -> httpx.Response:
        return client.post("/v1/messages", json=ONE)

    with (
        EmbeddedBroker() as broker,
        served(tmp_path, broker.bootstrap, prefix, UNDERTONE_SERVING__TIMEOUT="2s") as client,
    ):
        address = broker.bootstrap
        deadline = time.monotonic() + DEADLINE_SECONDS
        while asked().status_code != 202:  # making the topics may take longer than 2 s
            assert time.monotonic() < deadline
        os.kill(broker.pid, signal.SIGSTOP)
        still = asked()
        os.kill(broker.pid, signal.SIGCONT)
        while (back := asked()).status_code == 503:
            assert time.monotonic() < deadline
            time.sleep(float(back.headers["Retry-After"]))
        broker.kill()
        dead = asked()
        sentiment = client.post("/v1/sentiment", json={"text": "good"})
    assert [still.status_code, back.status_code, dead.status_code] == [503, 202, 503]
    assert sentiment.status_code == 200
    for refused in (still, dead):
        assert int(refused.headers["Retry-After"]) > 0
        assert address not in refused.text
