"""`undertone demo` as a process: its JSON, and that it leaves nothing however it ends."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from undertone.settings import KafkaSettings
from undertone.transport.clients import admin_client
from undertone.transport.embedded_broker import EmbeddedBroker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

SHORT = ("--engine", "stub", "--messages", "800", "--seconds", "6", "--seed", "3")
LONG = ("--engine", "stub", "--messages", "800", "--seconds", "120")
MARK = "DEMO_TEST_MARK"
END_SECONDS = 60


class Demo:
    """One `undertone demo` whose temporary files and processes can be told from all others."""

    def __init__(self, temporary: Path, *arguments: str, **environment: str) -> None:
        self.temporary = temporary
        self.mark = uuid.uuid4().hex
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "undertone", "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=temporary,
            env={**os.environ, "TMPDIR": str(temporary), MARK: self.mark, **environment},
        )

    def read_until(self, word: str) -> None:
        """Read what it says until a line holds the word."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if word in line:
                return
        pytest.fail(f"it ended without {word!r}: {self.said}")

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; returns its status, standard output and what it said since."""
        out, said = self.process.communicate(timeout=200)
        return self.process.returncode, out, said

    def processes(self) -> list[psutil.Process]:
        """All processes that carry its mark, which children inherit."""
        return [process for process in psutil.process_iter() if self._is_marked(process)]

    def left(self) -> list[psutil.Process]:
        """Processes that have not ended within a minute of its end."""
        return psutil.wait_procs(self.processes(), timeout=END_SECONDS)[1]

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self.mark
        except psutil.Error:
            return False


@pytest.fixture
def temporary(tmp_path: Path, broker: EmbeddedBroker) -> Path:
    """An empty folder; asks for the shared broker so that the jars are there, or the test skips."""
    assert broker.bootstrap
    return tmp_path


@contextmanager
def demo(temporary: Path, *arguments: str, **environment: str) -> Iterator[Demo]:
    """A running demo; ends whatever is left of it."""
    running = Demo(temporary, *arguments, **environment)
    try:
        yield running
    finally:
        for process in running.processes():
            process.kill()
        running.process.communicate()


@pytest.mark.parametrize(
    "lines",
    [("starting the broker",), ("0% played",), ("0% played", "% played")],
    ids=["while the broker starts", "while the services start", "while it plays"],
)
def test_ctrl_c_stops_everything_cleanly(temporary: Path, lines: tuple[str, ...]) -> None:
    with demo(temporary, *SHORT) as running:
        for line in lines:
            running.read_until(line)
        running.process.send_signal(signal.SIGINT)
        running.process.send_signal(signal.SIGINT)
        status, out, said = running.end()
        assert (status, out, said) == (130, "", "")
        assert not running.processes()
    assert not list(temporary.iterdir())


def test_ctrl_c_while_it_finishes_stops_everything_cleanly(temporary: Path) -> None:
    with demo(temporary, *SHORT) as running:
        running.read_until("100% played")
        running.process.send_signal(signal.SIGINT)
        status, _out, said = running.end()
        assert (status, said) == (130, "")
        assert not running.processes()
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("keep", [(), ("--keep",)])
def test_a_service_that_dies_ends_the_demo_with_its_last_words(
    temporary: Path, keep: tuple[str, ...]
) -> None:
    arguments = ("--messages", "800", "--engine", "onnx", *keep)
    with demo(temporary, *arguments, UNDERTONE_MODEL__PATH="/nonexistent") as running:
        status, out, said = running.end()
        assert (status, out) == (1, "")
        assert "score-1 ended with status 1; its log ends:" in said
        assert "/nonexistent" in said
        assert "Traceback" not in said
        assert not running.processes()
    assert not list(temporary.iterdir())


def test_sigkill_of_the_demo_leaves_no_process(temporary: Path) -> None:
    with demo(temporary, *LONG) as running:
        running.read_until("0% played")
        assert len(running.processes()) >= 7  # itself; broker, score, watch, and their guards
        running.process.kill()
        running.process.wait()
        assert not running.left()


def test_the_json_tells_all_and_the_topics_are_deleted(
    temporary: Path, broker: EmbeddedBroker, prefix: str
) -> None:
    here = ("--bootstrap", broker.bootstrap, "--prefix", prefix, "--json")
    # In 800 messages the stub's word list would see one of the two events only.
    with demo(temporary, *SHORT, "--messages", "1600", *here) as running:
        status, out, said = running.end()
        assert status == 0, said
    result = json.loads(out)
    parts = ("scored", "unscored", "unmatched", "dead_letters")
    assert result["messages_in"] == sum(result[part] for part in parts) >= 700
    assert result["mentions"] > 0
    assert result["rejected"] == 0
    assert result["alerts"][0].keys() >= {"id", "rule", "subject", "evidence", "tipping"}
    assert result["truth"].keys() == {"found", "missed", "false"}
    assert result["truth"]["missed"] == 0
    assert 0 < result["detection_seconds"]["p50"] <= result["detection_seconds"]["p99"]
    assert topics_of(broker, prefix) == []
    assert not list(temporary.iterdir())


def test_topics_that_are_there_already_are_left_alone(
    temporary: Path, broker: EmbeddedBroker, prefix: str
) -> None:
    with admin_client(KafkaSettings(bootstrap=broker.bootstrap)) as admin:
        admin.create_topics([f"{prefix}.precious"])
    with demo(temporary, "--bootstrap", broker.bootstrap, "--prefix", prefix) as running:
        status, _out, said = running.end()
    assert status == 2
    assert f"{prefix}.precious" in said
    assert topics_of(broker, prefix) == [f"{prefix}.precious"]


def test_keep_leaves_it_running_and_says_how_to_stop_it(temporary: Path) -> None:
    with demo(temporary, *SHORT, "--keep", "--json") as running:
        status, out, said = running.end()
        assert status == 0, said
        assert json.loads(out)["scored"] > 0
        assert len(running.processes()) == 3  # broker, score, watch
        bootstrap = re.search(r"Kafka: (\S+),", said)
        assert bootstrap is not None
        with admin_client(KafkaSettings(bootstrap=bootstrap[1])) as admin:
            assert any(name.endswith(".alerts") for name in admin.list_topics())
        commands = [line for line in said.splitlines() if line.startswith("  ")]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        for command in commands:
            environment = {**os.environ, "PATH": path}
            subprocess.run(shlex.split(command), env=environment, check=True, capture_output=True)
        assert len(commands) == 3
        assert not running.left()
    assert not list(temporary.iterdir())


def topics_of(broker: EmbeddedBroker, prefix: str) -> list[str]:
    with admin_client(KafkaSettings(bootstrap=broker.bootstrap)) as admin:
        return sorted(name for name in admin.list_topics() if name.startswith(f"{prefix}."))
