"""The embedded broker as a real Kafka: it starts offline, answers, survives, leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic
from kafka.structs import TopicPartition

from undertone.errors import EmbeddedBrokerError
from undertone.transport.broker_jars import cache_dir
from undertone.transport.broker_process import read_state
from undertone.transport.embedded_broker import EmbeddedBroker, stop_running

pytestmark = pytest.mark.kafka

WAIT_SECONDS = 60
COMMAND = [
    sys.executable,
    "-c",
    "from undertone.cli import main; main.COMMANDS = {'broker': 'broker'}; main.main()",
    "broker",
]
PARENT = """
import sys
from undertone.transport.embedded_broker import EmbeddedBroker
broker = EmbeddedBroker().start()
print(broker.pid, broker.state.data_dir, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def bare_environment(broker: EmbeddedBroker) -> dict[str, str]:
    """No Java, no Maven, no network: only the jars that the shared broker's start has cached."""
    nowhere = "http://127.0.0.1:9"
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return {
        **kept,
        "PATH": "/nonexistent",
        "JAVA_HOME": "/nonexistent",
        "JAVA_TOOL_OPTIONS": "-XX:NoSuchOption",
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "UNDERTONE_CACHE": str(cache_dir()),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder; whatever broker a failed test has left on it is ended."""
    path = tmp_path / "data folder é"
    yield path
    stop_running(path)


def test_the_shared_broker_is_a_real_kafka(broker: EmbeddedBroker, prefix: str) -> None:
    with KafkaAdminClient(bootstrap_servers=broker.bootstrap) as admin:
        admin.create_topics([NewTopic(f"{prefix}.a", num_partitions=2, replication_factor=1)])
        assert f"{prefix}.a" in admin.list_topics()
    said = (broker.state.log_dir / "server.log").read_text()
    assert f"Kafka version: {broker.state.kafka_version}" in said


def test_nothing_survives_a_parent_that_is_killed(bare_environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env=bare_environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        try:
            assert parent.stdout is not None
            pid, data_dir = parent.stdout.readline().split()
            java = psutil.Process(int(pid))
            descendants = psutil.Process(parent.pid).children(recursive=True)
            assert java in descendants
        finally:
            parent.kill()
    _, alive = psutil.wait_procs(descendants, WAIT_SECONDS)
    assert alive == []
    assert not Path(data_dir).exists()


@pytest.mark.slow
def test_a_detached_broker_outlives_its_command_until_it_is_stopped(
    bare_environment: dict[str, str], folder: Path
) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments, "--data-dir", str(folder)],
            env=bare_environment,
            capture_output=True,
            text=True,
            check=False,
        )

    started = run("start", "--detach")
    assert started.returncode == 0, started.stderr
    bootstrap = started.stdout.strip()
    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        assert admin.list_topics() is not None

    again = run("start", "--detach", "--json")
    assert again.returncode == 0
    assert "runs already" in again.stderr
    assert json.loads(again.stdout)["already_running"] is True

    status = json.loads(run("status", "--json").stdout)
    assert (status["running"], status["bootstrap"]) == (True, bootstrap)
    assert bootstrap in run("status").stdout
    java = psutil.Process(status["pid"])

    assert run("stop").stdout == f"stopped {bootstrap}\n"
    assert psutil.wait_procs([java], WAIT_SECONDS)[1] == []
    assert run("stop").stdout == "no broker runs\n"
    status_after = run("status", "--json")
    assert (status_after.returncode, json.loads(status_after.stdout)) == (1, {"running": False})


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_a_broker_in_the_foreground(
    bare_environment: dict[str, str], folder: Path, ending: signal.Signals
) -> None:
    with subprocess.Popen(
        [*COMMAND, "start", "--json", "--data-dir", str(folder)],
        env=bare_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            assert command.stdout is not None
            java = psutil.Process(json.loads(command.stdout.readline())["pid"])
            command.send_signal(ending)
            assert command.wait(WAIT_SECONDS) == 0
        finally:
            command.kill()
    assert not java.is_running()
    assert read_state(folder) is None


@pytest.mark.slow
def test_a_killed_broker_comes_back_with_its_data_on_its_port(folder: Path, prefix: str) -> None:
    topic = TopicPartition(f"{prefix}.kept", 0)
    quick = {"broker.session.timeout.ms": "1500", "broker.heartbeat.interval.ms": "300"}
    with EmbeddedBroker(folder, extra_properties=quick) as broker:
        bootstrap, pid = broker.bootstrap, broker.pid
        with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
            admin.create_topics([NewTopic(topic.topic, num_partitions=1, replication_factor=1)])
        with KafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
            producer.send(topic.topic, b"kept").get(WAIT_SECONDS)

        broker.kill()
        assert read_state(folder) is None
        broker.start()

        assert broker.bootstrap == bootstrap
        assert broker.pid != pid
        with KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
            consumer.assign([topic])
            assert next(iter(consumer)).value == b"kept"

        with pytest.raises(EmbeddedBrokerError, match=f"runs here already, at {bootstrap}"):
            EmbeddedBroker(folder).start()


def test_settings_that_kafka_refuses_are_shown_in_its_words(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    with pytest.raises(EmbeddedBrokerError, match=r"log\.cleaner\.threads") as caught:
        EmbeddedBroker(tmp_path, extra_properties={"log.cleaner.threads": "none"}).start()
    assert "--bootstrap HOST:PORT" in str(caught.value)
    assert read_state(tmp_path) is None


def test_a_full_disk_is_one_clear_error(bare_environment: dict[str, str], tmp_path: Path) -> None:
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=40k none '{disk}'"
    if not shutil.which("unshare") or subprocess.run([*namespace, mount], check=False).returncode:
        pytest.skip("a small disk needs unshare and user namespaces")
    script = f'{mount} && export PATH=/nonexistent && exec "$@"'
    ended = subprocess.run(
        [*namespace, script, "sh", *COMMAND, "start", "--data-dir", str(disk / "data")],
        env={**bare_environment, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_SECONDS,
    )
    assert ended.returncode == 1
    assert f"undertone: {disk / 'data'}: the disk is full" in ended.stderr
    assert "--bootstrap HOST:PORT" in ended.stderr
