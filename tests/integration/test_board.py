"""`undertone board` on a real broker: what the topics hold is what the page shows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from builders import DAY_MS
from html_pages import HtmlPage
from made_alerts import START_MS, made_alert, made_trend_point, resolved, risen
from undertone.records import Alert, TrendPoint
from undertone.settings import KafkaSettings
from undertone.transport.clients import producer
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.topics import FOR_EVER, TopicNames, TopicSpec, ensure_topics

pytest.importorskip("starlette", reason="starlette is not installed (the extra `board`)")
pytestmark = [pytest.mark.kafka, pytest.mark.slow]

DEADLINE_SECONDS = 60
WATCHLIST = """
subjects:
  - {id: acme, name: Acme Corporation, type: company, terms: [Acme]}
  - {id: quiet, name: Quiet Ltd, type: company, terms: [Quiet]}
"""


class Board:
    """A real `undertone board` process."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    def words(self, path: str = "/") -> str:
        return HtmlPage(httpx.get(f"{self.url}{path}").raise_for_status().text).words

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self._holds(condition):
            assert time.monotonic() < deadline, what
            time.sleep(0.1)

    def _holds(self, condition: Callable[[], bool]) -> bool:
        try:
            return condition()
        except httpx.TransportError:
            assert self.process.stderr is not None
            raise AssertionError(f"it has ended: {self.process.stderr.read()}") from None

    def is_ready(self) -> bool:
        return httpx.get(f"{self.url}/readyz").is_success


@contextmanager
def board(folder: Path, bootstrap: str, prefix: str, *arguments: str) -> Iterator[Board]:
    """A process that listens, ended with the block."""
    (folder / "watchlist.yaml").write_text(WATCHLIST)
    mine = {name: value for name, value in os.environ.items() if not name.startswith("UNDERTONE_")}
    common = ["--port", "0", "--prefix", prefix, "--bootstrap", bootstrap]
    process = subprocess.Popen(
        [sys.executable, "-m", "undertone", "board", *common,
         "--watchlist", "watchlist.yaml", *arguments],
        cwd=folder, env=mine, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        first = process.stderr.readline()
        assert first.startswith("board: http://127.0.0."), first
        yield Board(process, first.split()[1])
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def make_topics(broker: EmbeddedBroker, prefix: str) -> None:
    names = TopicNames(prefix)
    specs = [TopicSpec(names.trends, 2, FOR_EVER), TopicSpec(names.alerts, 1, FOR_EVER)]
    ensure_topics(KafkaSettings(bootstrap=broker.bootstrap), specs)


def send(broker: EmbeddedBroker, prefix: str, *records: Alert | TrendPoint | bytes) -> None:
    names = TopicNames(prefix)
    with closing(producer(KafkaSettings(bootstrap=broker.bootstrap))) as sender:
        for record in records:
            if isinstance(record, TrendPoint):
                sender.send(
                    names.trends,
                    record.to_json(),
                    key=record.subject.encode(),
                    timestamp_ms=record.window_end,
                )
            else:
                value = record if isinstance(record, bytes) else record.to_json()
                sender.send(names.alerts, value)
        sender.flush()


def days(count: int) -> list[TrendPoint]:
    return [
        made_trend_point(
            window="1h", window_end=START_MS - (count - 1 - day) * DAY_MS, stories=2 + day
        )
        for day in range(count)
    ]


def test_it_shows_what_the_topics_hold_and_the_same_after_a_restart(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    make_topics(broker, prefix)
    first = made_alert()
    over = made_alert(id="acme-0", rule="tone-shift", detected_at=START_MS - DAY_MS)
    send(broker, prefix, *days(3), over, first, b"no alert", resolved(over), risen(first), first)
    pages = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with board(tmp_path, broker.bootstrap, prefix) as running:
            running.wait_until(running.is_ready, "it is ready")
            pages.append([running.words(path) for path in ("/", "/alerts", "/alerts/acme-1")])
            metrics = httpx.get(f"{running.url}/metrics").text
            running.process.send_signal(number)
            assert running.process.wait(DEADLINE_SECONDS) == (number is signal.SIGINT) * 130
            assert running.process.stderr is not None
            assert "Traceback" not in running.process.stderr.read()
    assert pages[0] == pages[1]
    index, _list, alert = pages[0]
    assert "1 open alert 2 subjects" in index
    assert "Quiet Ltd company no mention yet" in index
    assert "Acme recalls 40,000 kettles after fires" in alert
    assert "rose critical" in alert
    for outcome, count in (("taken", 4), ("repeated", 1), ("unreadable", 1)):
        topic = f'topic="{prefix}.alerts"'
        line = f'undertone_board_records_total{{outcome="{outcome}",{topic}}} {count}.0'
        assert line in metrics


def test_what_is_written_later_appears_and_topics_may_come_later_too(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    with board(tmp_path, broker.bootstrap, prefix) as running:
        reason = "does not exist yet"
        running.wait_until(lambda: reason in httpx.get(f"{running.url}/readyz").text, reason)
        assert "Quiet Ltd" in running.words()
        make_topics(broker, prefix)
        running.wait_until(running.is_ready, "it is ready")
        send(broker, prefix, made_alert(), *days(1))
        running.wait_until(lambda: "1 open alert " in running.words(), "the alert is shown")
        send(broker, prefix, resolved(made_alert()))
        running.wait_until(lambda: "All quiet" in running.words(), "it is over")


def test_of_the_trends_it_reads_so_much_of_the_past(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    make_topics(broker, prefix)
    send(broker, prefix, *days(20), resolved(made_alert(detected_at=START_MS - 9 * DAY_MS)))
    with board(tmp_path, broker.bootstrap, prefix, "--past", "3d") as running:
        running.wait_until(running.is_ready, "it is ready")
        metrics = httpx.get(f"{running.url}/metrics").text
        assert "Acme" in running.words("/alerts/acme-1")
    topic = f'topic="{prefix}.trends"'
    assert f'undertone_board_records_total{{outcome="taken",{topic}}} 4.0' in metrics


def test_where_no_broker_answers_it_ends_with_a_message(tmp_path: Path) -> None:
    (tmp_path / "undertone.yaml").write_text("kafka: {patience: 0s}")
    with board(tmp_path, "127.0.0.1:9", "t") as running:
        assert running.process.wait(DEADLINE_SECONDS) == 1
        assert running.process.stderr is not None
        said = running.process.stderr.read()
    assert "no Kafka broker answers at 127.0.0.1:9" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--past", "soon"], "--past: cannot read 'soon'"),
        (["--past", "0s"], "--past: expected more"),
        (["--watchlist", "absent.yaml"], "absent.yaml"),
    ],
)
def test_wrong_use_is_told_in_a_message(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "undertone", "board", "--port", "0", *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS,
    )  # fmt: skip
    assert result.returncode == 2, result.stderr
    assert said in result.stderr and "Traceback" not in result.stderr


def test_others_may_not_look_without_a_warning(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    with board(tmp_path, broker.bootstrap, prefix, "--host", "127.0.0.2") as running:
        assert running.process.stderr is not None
        assert "may be reached by others, and no token is set" in running.process.stderr.readline()
