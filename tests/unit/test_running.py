"""Which processes are ours, under which prefix, and what their metrics say of their files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from undertone.reloading import ConfigMetrics
from undertone.running import (
    Outcome,
    RunningConfig,
    Seen,
    Service,
    ask,
    config_of,
    processes_here,
    read_config,
    service_of,
    services_of,
    takes_hangup,
)

PYTHON = "/venv/bin/python"
SCRIPT = "/venv/bin/undertone"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ([PYTHON, SCRIPT, "score"], "score"),
        ([PYTHON, "-m", "undertone", "watch", "--verbose"], "watch"),
        ([SCRIPT, "watch"], "watch"),
        ([PYTHON, SCRIPT, "watch", "--rebuild"], None),
        ([PYTHON, SCRIPT, "serve"], None),
        ([PYTHON, SCRIPT], None),
        (["vim", "undertone", "score"], None),
        ([PYTHON, "-I", "-S", "guard.py", "20", "", PYTHON, "-m", "undertone", "score"], None),
        ([], None),
    ],
)
def test_a_command_line_tells_what_a_process_is(command: list[str], name: str | None) -> None:
    found = service_of(Seen(1, command))
    assert (found and found.name) == name


def test_the_prefix_is_the_option_then_the_variable_then_the_file_then_the_default(
    tmp_path: Path,
) -> None:
    (tmp_path / "undertone.yaml").write_text("prefix: from-file")
    (tmp_path / "other.yaml").write_text("prefix: from-other")
    (tmp_path / "broken.yaml").write_text("prefix: [")

    def prefix(*options: str, folder: Path = tmp_path, **variables: str) -> str | None:
        found = service_of(Seen(1, [PYTHON, SCRIPT, "score", *options], folder, variables))
        return found and found.prefix

    assert prefix() == "from-file"
    assert prefix("--config", "other.yaml") == prefix("-c", "other.yaml") == "from-other"
    assert prefix("--config=other.yaml", UNDERTONE_PREFIX="variable") == "variable"
    assert prefix("--prefix", "option", UNDERTONE_PREFIX="variable") == "option"
    assert prefix("--prefix=option") == "option"
    assert prefix("-c", "broken.yaml") == prefix(folder=tmp_path / "none") == "undertone"


def test_only_those_of_the_prefix_are_found_by_name_and_id() -> None:
    seen = [
        Seen(9, [PYTHON, SCRIPT, "watch", "--prefix", "a"]),
        Seen(8, [PYTHON, SCRIPT, "watch", "--prefix", "a"]),
        Seen(7, [PYTHON, SCRIPT, "score", "--prefix", "b"]),
        Seen(6, [PYTHON, SCRIPT, "score", "--prefix", "a"]),
    ]
    assert [service.pid for service in services_of("a", seen)] == [6, 8, 9]


def test_metrics_tell_versions_and_reloads() -> None:
    registry = CollectorRegistry()
    metrics = ConfigMetrics(registry, lambda: 1.0)
    metrics.run({"rules": "r1", "watchlist": "w1"})
    metrics.count("refused")
    found = config_of(generate_latest(registry).decode())
    assert found == RunningConfig({"taken_up": 0, "refused": 1}, {"rules": "r1", "watchlist": "w1"})
    assert config_of("# nothing\n") is None


# A service in short: it counts what it is asked, and says so in its metrics.
PROGRAM = """
import sys, time
from prometheus_client import CollectorRegistry
from undertone.reloading import ConfigMetrics, Hangups, Loaded, Reloads
from undertone.errors import ConfigurationError
from undertone.telemetry import serve_metrics
hangups, registry, answers = Hangups(), CollectorRegistry(), iter(["v1", "v2", None])
def load():
    if (version := next(answers)) is None:
        raise ConfigurationError("rules.yaml: rules.0: is missing")
    return Loaded(version, {"rules": version})
reloads = Reloads(load, ConfigMetrics(registry, time.time), hangups.take)
serve_metrics(registry, "127.0.0.1", 0)
print("ready", flush=True)
while True:
    time.sleep(0.01)
    if reloads.due():
        reloads.done()
"""


@pytest.fixture
def program() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def test_a_process_is_asked_and_its_metrics_tell_what_came_of_it(
    program: subprocess.Popen[bytes],
) -> None:
    service = Service(program.pid, "watch", "a")
    assert read_config(program.pid) == RunningConfig({"taken_up": 0, "refused": 0}, {"rules": "v1"})
    taken = ask(service)
    assert (taken.outcome, taken.versions) == (Outcome.TAKEN_UP, {"rules": "v2"})
    refused = ask(service)
    assert (refused.outcome, refused.versions) == (Outcome.REFUSED, {"rules": "v2"})
    assert program.poll() is None


def test_one_that_does_not_handle_the_signal_yet_is_left_alone() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        if Path("/proc/self/status").exists():
            assert not takes_hangup(process.pid)
            answer = ask(Service(process.pid, "score", "a"), read=lambda _pid: None)
            assert answer.outcome is Outcome.NOT_READY
            assert process.poll() is None
        process.stdin.write(b"\n")
    gone = ask(Service(process.pid, "score", "a"), read=lambda _pid: None)
    assert gone.outcome is Outcome.GONE


def test_the_processes_of_this_user_are_seen() -> None:
    name = "undertone-seen-by-a-test"
    with subprocess.Popen(
        [sys.executable, "-c", "input()", name], stdin=subprocess.PIPE
    ) as process:
        found = {seen.pid: seen for seen in processes_here()}[process.pid]
        assert found.command[-1] == name
        assert found.folder == Path.cwd()
        assert found.variables["PATH"] == os.environ["PATH"]
        process.send_signal(signal.SIGTERM)
