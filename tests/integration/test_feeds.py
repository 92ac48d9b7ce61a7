"""Feeds from a local server over real HTTP: within bounds, without repeats, onto a real broker."""

from __future__ import annotations

import gzip
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from feed_server import FeedServer, feed_server, rss
from topic_logs import raw_records
from undertone.errors import BrokerError, FeedError
from undertone.ingest.feed_fetching import BODY_LIMIT_BYTES, DEADLINE_SECONDS, FeedFetcher
from undertone.ingest.feed_memory import FeedMemory
from undertone.ingest.feed_polling import FeedPoller
from undertone.ingest.feed_schedule import FeedState
from undertone.ingest.feeds import Feed
from undertone.records import Kind, RawMessage
from undertone.settings import KafkaSettings, Settings
from undertone.transport.embedded_broker import EmbeddedBroker

EVERY_MS = 300_000
DEADLINE = 180


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with feed_server() as started:
        yield started


class Polls:
    """A poller whose clock goes on only when it waits, and that stops after some rounds."""

    def __init__(self, path: Path, *feeds: Feed) -> None:
        self.path, self.feeds = path, feeds
        self.now_ms = 1_800_000_000_000
        self.written: list[str | None] = []
        self.waited: list[float] = []
        self.fault: Exception | None = None

    def write(self, messages: Sequence[RawMessage]) -> None:
        if self.fault is not None:
            raise self.fault
        self.written += [message.title for message in messages]

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        self.now_ms += round(seconds * 1000)
        self.left -= 1
        return self.left == 0

    def run(self, rounds: int = 1, *, once: bool = False) -> Any:
        """As a process does: it opens the memory, polls, and is gone."""
        self.left = rounds
        with closing(FeedMemory(self.path)) as memory, closing(FeedFetcher()) as fetcher:
            poller = FeedPoller(
                self.feeds, memory, fetcher, self.write, every_ms=EVERY_MS,
                clock_ms=lambda: self.now_ms, wait=self.wait,
            )  # fmt: skip
            return poller.run(once=once)


@pytest.fixture
def polls(tmp_path: Path, server: FeedServer) -> Polls:
    return Polls(tmp_path / "feeds.sqlite", Feed(f"{server.url}/feed"))


def test_a_feed_is_read_once_and_only_asked_whether_it_changed(
    polls: Polls, server: FeedServer
) -> None:
    server.body = rss("a", "b")
    polls.run(3)
    server.body = rss("b", "c")
    counts = polls.run(2)  # a new process
    assert polls.written == ["a", "b", "c"]
    assert server.statuses == [200, 304, 304, 200, 304]
    assert server.requests[3]["if-modified-since"] == "Sat, 31 Jan 2026 09:30:00 GMT"
    assert server.requests[0]["user-agent"].startswith("undertone/")
    assert (counts.polls, counts.ingested, counts.unchanged) == (2, 1, 1)
    assert set(polls.waited) == {EVERY_MS / 1000}


def test_what_was_not_acknowledged_comes_again_under_the_same_ids(
    polls: Polls, server: FeedServer
) -> None:
    server.body = rss("a")
    polls.fault = BrokerError("away")
    with pytest.raises(BrokerError):
        polls.run()
    polls.fault = None
    polls.run(2)
    assert polls.written == ["a"]
    assert server.statuses == [200, 200, 304]


def test_failures_are_told_one_line_each_and_waited_out_across_restarts(
    polls: Polls, server: FeedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.body = rss("a")
    server.faults = [(500, {}, b""), (429, {"Retry-After": "7200"}, b""), (200, {}, b"<p>Sign in")]
    polls.run(2)
    assert polls.waited == [600, 7200]
    polls.run(2)
    assert polls.waited[2:] == [2400, EVERY_MS / 1000]
    assert polls.written == ["a"]
    warned = [line.message for line in caplog.records if line.levelno == logging.WARNING]
    assert len(warned) == 3
    assert "answers 429; asked again in 7,200 s" in warned[1]


def test_a_server_that_asked_for_patience_is_not_asked_by_the_next_process(
    polls: Polls, server: FeedServer
) -> None:
    server.faults = [(503, {"Retry-After": "3600"}, b"")]
    polls.run()
    polls.now_ms -= 1_800_000
    polls.run()
    assert len(server.requests) == 1
    assert polls.waited[1] == 1800


def test_a_key_in_the_address_is_neither_logged_nor_kept_and_nothing_comes_again(
    tmp_path: Path, server: FeedServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{server.url}/feed?token=s3cret"
    polls = Polls(tmp_path / "feeds.sqlite", Feed(url))
    server.body = rss("a")
    polls.run()
    with closing(FeedMemory(polls.path)) as memory:  # as an earlier version kept it
        memory.rename({Feed(url).key: url})
    server.faults = [(500, {}, b"")]
    with caplog.at_level(logging.DEBUG, "undertone"):
        polls.run(3)
    assert polls.written == ["a"]
    assert [request["path"] for request in server.requests] == ["/feed?token=s3cret"] * 4
    assert "/feed?token=…: the server answers 500" in caplog.text
    assert "s3cret" not in caplog.text
    assert b"s3cret" not in polls.path.read_bytes()
    server.faults = [(404, {}, b"")]
    with pytest.raises(FeedError) as told:
        polls.run(once=True)
    assert "s3cret" not in str(told.value)


def test_a_feed_that_is_gone_is_left_alone_and_the_others_go_on(
    tmp_path: Path, server: FeedServer
) -> None:
    feeds = [Feed(f"{server.url}/1"), Feed(f"{server.url}/2")]
    server.faults = [(410, {}, b"")]
    server.body = rss("a")
    polls = Polls(tmp_path / "f", *feeds)
    polls.run(3)
    assert polls.written == ["a"]
    assert sorted(server.statuses) == [200, 304, 304, 410]

    server.faults = [(410, {}, b"")]
    with pytest.raises(FeedError, match="every feed is gone"):
        Polls(tmp_path / "g", feeds[0]).run()


def test_once_with_no_feed_that_can_be_read_is_a_fault(polls: Polls, server: FeedServer) -> None:
    server.faults = [(404, {}, b"")]
    with pytest.raises(FeedError, match="/feed: the server answers 404"):
        polls.run(once=True)


def fetched(server: FeedServer, *, clock: Any = time.monotonic) -> Any:
    with closing(FeedFetcher(clock=clock)) as fetcher:
        return fetcher.fetch(Feed(f"{server.url}/feed"), FeedState())


def test_redirects_are_followed_to_a_limit(server: FeedServer) -> None:
    server.body = rss("a")
    moved = (301, {"Location": "/new"}, b"x" * 1000)
    server.faults = [moved] * 5
    assert fetched(server).document.body == server.body
    assert [request["path"] for request in server.requests] == ["/feed"] + ["/new"] * 5
    server.faults = [moved] * 6
    with pytest.raises(FeedError, match="more than 5 redirects"):
        fetched(server)


PACKED = {"Content-Encoding": "gzip"}
BOMB = gzip.compress(bytes(BODY_LIMIT_BYTES + 1))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((200, {}, bytes(BODY_LIMIT_BYTES + 1)), "has more than 4,194,304 bytes"),
        ((200, PACKED, BOMB), "has more than 4,194,304 bytes"),
        ((200, PACKED, BOMB[:50]), "cut off"),
        ((200, PACKED, b"plain"), "damaged"),
        ((200, {"Content-Encoding": "gzip, gzip"}, gzip.compress(BOMB)), "is encoded as"),
        ((200, {"Content-Length": "50"}, b"short"), "cannot be fetched"),
        ((302, {"Location": "ftp://127.0.0.1/"}, b""), "cannot be fetched"),
        ((302, {"Location": "http://["}, b""), "cannot be fetched"),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), "cannot be fetched: ConnectError"),
    ],
    ids=[
        "large",
        "bomb",
        "cut",
        "no gzip",
        "packed twice",
        "short",
        "ftp",
        "no address",
        "refused",
    ],
)
def test_what_cannot_be_used_is_told(server: FeedServer, fault: Any, said: str) -> None:
    server.faults = [fault]
    with pytest.raises(FeedError, match=said):
        fetched(server)


def test_an_answer_that_drips_is_given_up(server: FeedServer) -> None:
    moments = iter([0.0, DEADLINE_SECONDS + 1])
    server.body = rss("a")
    with pytest.raises(FeedError, match="has not arrived in 25 s"):
        fetched(server, clock=lambda: next(moments))


@pytest.mark.kafka
def test_the_command_brings_feeds_onto_the_broker_without_repeats(
    broker: EmbeddedBroker, prefix: str, server: FeedServer, tmp_path: Path
) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("UNDERTONE_")}
    command = [
        sys.executable, "-m", "undertone", "ingest", "--feed", f"{server.url}/feed",
        "--prefix", prefix, "--bootstrap", broker.bootstrap, "--source", "wire", "--json",
    ]  # fmt: skip

    def once() -> dict[str, Any]:
        done = subprocess.run(
            [*command, "--once"], cwd=tmp_path, env=environment, capture_output=True, text=True,
            check=True, timeout=DEADLINE,
        )  # fmt: skip
        return dict(json.loads(done.stdout))

    server.body = rss("a", "b")
    assert once()["ingested"] == 2
    assert once()["ingested"] == 0
    server.body = rss("b", "c")
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert "1 new" in process.stderr.readline()  # told only when it is acknowledged
        process.send_signal(signal.SIGTERM)
        out, said = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert json.loads(out)["ingested"] == 1
    assert "Traceback" not in said
    assert server.statuses == [200, 304, 200]
    assert (tmp_path / f"{prefix}.feeds.sqlite").exists()

    settings = Settings(prefix=prefix, kafka=KafkaSettings(bootstrap=broker.bootstrap))
    log: dict[str, list[Any]] = defaultdict(list)
    for (topic, _partition), records in raw_records(settings).items():
        log[topic] += records
    assert list(log) == [f"{prefix}.raw.news"]
    messages = [RawMessage.from_json(record.value) for record in log[f"{prefix}.raw.news"]]
    assert sorted(str(message.title) for message in messages) == ["a", "b", "c"]
    assert {(message.source, message.kind) for message in messages} == {("wire", Kind.NEWS)}
    assert {record.key.decode() for record in log[f"{prefix}.raw.news"]} == {
        message.id for message in messages
    }
