"""Bad input and faults of the environment, as the real commands meet them.

Each ends with its exit status and one message that says what is wrong, where, and what to do;
none with a traceback. Bad records lose nothing that was good.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from topic_logs import values_of
from undertone.demo.processes import ServiceProcess, service_environment
from undertone.ingest.service import in_recorded_time
from undertone.records import DeadLetter, Mention
from undertone.scoring.accounting import accounting
from undertone.settings import KafkaSettings, Settings
from undertone.transport.clients import producer
from undertone.transport.codec import decode_watch_record, tick_headers
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.raw_topics import prepare_topics
from undertone.transport.topics import TopicNames

WATCHLIST = """
subjects:
  - {id: acme, name: Acme Corp, terms: [Acme]}
  - {id: zenith, name: Zenith Air, terms: [Zenith]}
"""
NOWHERE = "127.0.0.1:1"
NO_BROKER = r"no Kafka broker answers at 127\.0\.0\.1:1.*\n.*--bootstrap"


def undertone(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "undertone", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good file of each sort, and one bad."""
    (tmp_path / "watchlist.yaml").write_text(WATCHLIST)
    (tmp_path / "typo.yaml").write_text(WATCHLIST.replace("terms", "termz"))
    (tmp_path / "broken.yaml").write_text("subjects: [")
    (tmp_path / "latin.yaml").write_bytes("subjects: # é".encode("latin-1"))
    (tmp_path / "twice.yaml").write_text(WATCHLIST.replace("zenith", "acme"))
    (tmp_path / "rules.yaml").write_text("rules:\n  - {name: x, severity: loud, when: []}\n")
    (tmp_path / "settings.yaml").write_text("kafka: {bootstrap: 'a b'}\nmentions_partitions: no\n")
    (tmp_path / "rows.jsonl").write_text(
        '{"published_at": "2026-01-31T09:30:00Z", "text": "Acme wins"}\n'
    )
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"text,published_at\nA,B\n")[:-4])
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "undertone.json").write_text("{not json")
    return tmp_path


WATCH = ("watch", "--watchlist", "watchlist.yaml", "--metrics-port", "0")
SCORE = ("score", "--watchlist", "watchlist.yaml", "--metrics-port", "0")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("score",), 2, r"no watchlist is named\n.*--watchlist"),
        (("watch",), 2, r"no watchlist is named\n.*--watchlist"),
        (("score", "--watchlist", "none.yaml"), 2, r"none\.yaml"),
        (("watch", "--watchlist", "typo.yaml"), 2, r"typo\.yaml: subjects.*termz"),
        (("score", "--watchlist", "broken.yaml"), 2, r"broken\.yaml.*line"),
        (("score", "--watchlist", "latin.yaml"), 2, r"latin\.yaml.*UTF-8"),
        (("score", "--watchlist", "twice.yaml"), 2, r"twice\.yaml.*acme"),
        ((*WATCH, "--rules", "rules.yaml"), 2, r"rules\.yaml: rules.*severity"),
        ((*SCORE, "--config", "settings.yaml"), 2, r"settings\.yaml: kafka\.bootstrap"),
        ((*SCORE, "--config", "none.yaml"), 2, r"none\.yaml"),
        ((*SCORE, "--engine", "magic"), 2, r"magic"),
        ((*SCORE, "--engine", "onnx", "--model", "none"), 1, r"none"),
        ((*SCORE, "--engine", "onnx", "--model", "checkpoint"), 1, r"checkpoint"),
        (("ingest", "none.jsonl"), 2, r"none\.jsonl"),
        (("ingest", "rows.jsonl", "--speed", "fast"), 2, r"--speed.*fast|fast.*--speed"),
        (("check", "--watchlist", "typo.yaml", "--bootstrap", NOWHERE), 2, r"termz"),
        (("demo", "--scenario", "none"), 2, r"'none'\n.*--list"),
        (("demo", "--stream", "rows.jsonl"), 2, r"--stream needs --watchlist"),
        (("demo", "--until", "2026-01-01"), 2, r"--until.*--stream FILE"),
        (("demo", "--watchlist", "watchlist.yaml"), 2, r"--watchlist.*--stream FILE"),
        (("demo", "--rules", "rules.yaml"), 2, r"rules\.yaml: rules.*severity"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_use_is_told_in_a_message(
    folder: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    result = undertone(folder, *arguments)
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    assert re.search(said, result.stdout + result.stderr, re.DOTALL), result.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--stream", "none.jsonl", "--watchlist", "watchlist.yaml"), r"none\.jsonl: .*No such"),
        (("--stream", "rows.jsonl", "--watchlist", "typo.yaml"), r"typo\.yaml.*termz"),
        (("--stream", "cut.csv.gz", "--watchlist", "watchlist.yaml"), r"cut\.csv\.gz.*reject"),
        (
            ("--until", "2026-01-01", "--stream", "rows.jsonl", "--watchlist", "watchlist.yaml"),
            r"rows\.jsonl: holds no message to play before --until",
        ),
        (
            ("--until", "soon", "--stream", "rows.jsonl", "--watchlist", "watchlist.yaml"),
            r"--until: .*soon",
        ),
    ],
)
def test_the_demo_reads_its_files_before_it_starts_anything(
    folder: Path, more: tuple[str, ...], said: str
) -> None:
    result = undertone(folder, "demo", *more)
    assert result.returncode == 2, result.stderr
    assert re.search(said, result.stderr, re.DOTALL), result.stderr
    assert "broker" not in result.stderr


@pytest.mark.parametrize(
    "arguments", [SCORE[:-1], WATCH[:-1], ("broker", "start", "--data-dir", "data", "--port")]
)
def test_a_port_in_use_is_told_with_its_number(folder: Path, arguments: tuple[str, ...]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        more = ("--engine", "stub") if arguments[0] == "score" else ()
        result = undertone(folder, *arguments, port, *more)
    assert result.returncode == 1, result.stderr
    assert port in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        (*SCORE, "--engine", "stub"),
        WATCH,
        ("ingest", "rows.jsonl"),
        ("demo", "--engine", "stub"),
    ],
    ids=lambda value: value[0],
)
def test_without_a_broker_every_command_says_so(
    folder: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERTONE_KAFKA__PATIENCE", "0s")
    result = undertone(folder, *arguments, "--bootstrap", NOWHERE)
    assert result.returncode == 1, result.stderr
    assert re.search(NO_BROKER, result.stderr), result.stderr
    assert "Traceback" not in result.stderr


def test_check_shows_that_no_broker_answers(folder: Path) -> None:
    result = undertone(folder, "check", "--watchlist", "watchlist.yaml", "--bootstrap", NOWHERE)
    assert result.returncode == 1, result.stderr
    assert NOWHERE in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def message(**changes: object) -> bytes:
    fields = {"published_at": "2026-01-31T09:30:00Z", "text": "Acme wins a prize"}
    return json.dumps(fields | changes).encode()


BAD_RECORDS = {
    "malformed JSON": (b'{"text": "Acme', "not JSON"),
    "no value": (b"", "empty record"),
    "invalid UTF-8": (b'{"text": "Acme \xff"}', "not JSON"),
    "not an object": (b"[1, 2]", "expected a JSON object"),
    "no text": (b'{"published_at": "2026-01-31T09:30:00Z"}', "text: "),
    "a number as text": (message(text=7), "text: "),
    "empty text": (message(text="   "), "text: is empty"),
    "enormous text": (message(text="Acme " * 20_000), "more than the 65536 allowed"),
    "a naive time": (message(published_at="2026-01-31T09:30:00"), "names no time zone"),
    "no time": (message(published_at="yesterday"), "cannot read 'yesterday' as a time"),
    "an unknown kind": (message(kind="gossip"), "kind: "),
    "a negative audience": (message(audience=-1), "audience: "),
    "tags that are none": (message(subjects=[{"no": "name"}]), "subjects.0: "),
}
STAMP_MS = 1_769_851_800_000  # 2026-01-31T09:30:00Z


@dataclass(frozen=True)
class Outcome:
    """What `score` made of the bad records and the good ones between them."""

    totals: dict[str, int]
    letters: dict[int, DeadLetter]  # by offset
    letter_count: int
    mentions: list[Mention]
    metrics: str
    offsets: dict[str, int]  # of the bad records, by name


@pytest.fixture(scope="module")
def outcome(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Good and bad records in turn on one raw partition, read by a real `undertone score`."""
    folder = tmp_path_factory.mktemp("faults")
    watchlist = folder / "watchlist.yaml"
    watchlist.write_text(WATCHLIST)
    settings = in_recorded_time(
        Settings(prefix="faults", kafka=KafkaSettings(bootstrap=broker.bootstrap))
    )
    prepare_topics(settings)
    offsets = send_in_turn(settings)
    service = ServiceProcess(
        [
            *("score", "--engine", "stub", "--watchlist", str(watchlist), "--metrics-port", "0"),
            *("--prefix", settings.prefix, "--bootstrap", broker.bootstrap),
        ],
        service_environment(settings),
        folder / "score.log",
    )
    try:
        names, raw_topics = TopicNames(settings.prefix), settings.effective_raw_topics

        def totals() -> dict[str, int]:
            service.check()
            return accounting(settings.kafka, names, raw_topics)

        wait_until(lambda: totals()["messages_in"] >= 2 * len(BAD_RECORDS) + 1)
        letters = [DeadLetter.from_json(value) for value in values_of(settings, names.dead_letters)]
        records = [decode_watch_record(value) for value in values_of(settings, names.mentions)]
        address = re.search(r"metrics: (\S+)", service.log.read_text())
        assert address is not None
        with urllib.request.urlopen(address[1]) as response:
            metrics = response.read().decode()
        yield Outcome(
            totals(),
            {letter.offset: letter for letter in letters},
            len(letters),
            [record for record in records if isinstance(record, Mention)],
            metrics,
            offsets,
        )
    finally:
        service.stop()


def send_in_turn(settings: Settings) -> dict[str, int]:
    """Good, bad, good, bad …, and at last a good one with a tag that nobody watches."""
    topic = settings.effective_raw_topics[0].name
    offsets = {}
    with closing(producer(settings.kafka)) as client:

        def send(value: bytes) -> int:
            future = client.send(topic, value, partition=0, timestamp_ms=STAMP_MS)
            return int(future.get(10).offset)

        for number, (name, (value, _error)) in enumerate(BAD_RECORDS.items()):
            send(message(id=f"good-{number}"))
            offsets[name] = send(value)
        send(message(id="tagged", subjects=["Nobody Knows", "Zenith"]))
        for each in settings.effective_raw_topics:
            for partition in range(each.partitions):
                end_ms = STAMP_MS + 1000
                client.send(
                    each.name,
                    key=b"tick",
                    partition=partition,
                    headers=tick_headers(end_ms),
                    timestamp_ms=end_ms,
                )
        client.flush(30)
    return offsets


def wait_until(done: Callable[[], bool], deadline_seconds: float = 60.0) -> None:
    deadline = time.monotonic() + deadline_seconds
    while not done():
        assert time.monotonic() < deadline, f"not done within {deadline_seconds} s"
        time.sleep(0.2)


@pytest.mark.kafka
@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_bad_record_is_kept_once_with_what_is_wrong(outcome: Outcome, name: str) -> None:
    value, error = BAD_RECORDS[name]
    letter = outcome.letters[outcome.offsets[name]]
    assert error in letter.error
    assert letter.stage == "decode"
    assert base64.b64decode(letter.raw) == value


@pytest.mark.kafka
def test_every_good_record_between_bad_ones_is_scored(outcome: Outcome) -> None:
    good = {f"good-{number}" for number in range(len(BAD_RECORDS))}
    assert {mention.message_id for mention in outcome.mentions} == good | {"tagged"}
    assert outcome.letter_count == len(BAD_RECORDS)
    assert outcome.totals["scored"] == len(BAD_RECORDS) + 1
    assert outcome.totals["dead_letters"] == len(BAD_RECORDS)
    assert outcome.totals["messages_in"] == 2 * len(BAD_RECORDS) + 1


@pytest.mark.kafka
def test_a_tag_that_nobody_watches_is_counted_and_ignored(outcome: Outcome) -> None:
    tagged = [mention for mention in outcome.mentions if mention.message_id == "tagged"]
    assert {mention.subject for mention in tagged} == {"acme", "zenith"}
    assert "undertone_ignored_tags_total 1.0" in outcome.metrics
    dead = f'undertone_dead_letters_total{{stage="decode"}} {len(BAD_RECORDS)}.0'
    assert dead in outcome.metrics
