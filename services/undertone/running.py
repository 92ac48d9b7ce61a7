"""The `score` and `watch` processes of this user on this machine, and how they take a reload.

Found among the system's processes by their command line, so that nothing has to be written down
while they run. What a process says of itself is read from its metrics.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from undertone.config_files import read_yaml
from undertone.errors import ConfigurationError
from undertone.reloading import INFO_METRIC, RELOADS_METRIC
from undertone.settings import DEFAULT_FILE, ENV_PREFIX, Settings

RELOADABLE = ("score", "watch")
ANSWER_SECONDS = 30.0
LOOK_SECONDS = 0.1
SCRAPE_SECONDS = 2.0


@dataclass(frozen=True)
class Seen:
    """A process as the system shows it; `variables` are those of its environment."""

    pid: int
    command: Sequence[str]
    folder: Path = Path()
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """A process of ours."""

    pid: int
    name: str
    prefix: str


@dataclass(frozen=True)
class RunningConfig:
    """What a process says of its files: reloads by outcome, and the version of each kind."""

    reloads: Mapping[str, int]
    versions: Mapping[str, str]


class Outcome(StrEnum):
    """What became of asking one process."""

    TAKEN_UP = "taken up"
    REFUSED = "refused"
    ASKED = "asked"  # it serves no metrics that could tell more
    UNANSWERED = "unanswered"
    NOT_READY = "not ready"  # SIGHUP would end it
    GONE = "gone"

    @property
    def is_fine(self) -> bool:
        """Whether nobody has to look after it."""
        return self in (Outcome.TAKEN_UP, Outcome.ASKED, Outcome.GONE)


@dataclass(frozen=True)
class Answer:
    """What one process did, and the versions that it runs now where it tells."""

    service: Service
    outcome: Outcome
    versions: Mapping[str, str] = field(default_factory=dict)


def services_of(prefix: str, seen: Iterable[Seen]) -> list[Service]:
    """Those that work under a prefix, by name and process id."""
    found = (service_of(process) for process in seen)
    mine = [service for service in found if service is not None and service.prefix == prefix]
    return sorted(mine, key=lambda service: (service.name, service.pid))


def service_of(seen: Seen) -> Service | None:
    """What a process is, by its command line; None where it takes no reload."""
    if not seen.command:
        return None
    program, *arguments = Path(seen.command[0]).name, *seen.command[1:]
    if program.startswith("python") and arguments[:2] == ["-m", "undertone"]:
        arguments = arguments[2:]
    elif program.startswith("python") and arguments and Path(arguments[0]).name == "undertone":
        arguments = arguments[1:]
    elif program != "undertone":
        return None
    if not arguments or arguments[0] not in RELOADABLE or "--rebuild" in arguments:
        return None
    return Service(seen.pid, arguments[0], _prefix(seen, arguments))


def _prefix(seen: Seen, arguments: Sequence[str]) -> str:
    """The prefix as the process itself has found it: option, variable, file, default."""
    prefix = _option(arguments, "--prefix") or seen.variables.get(f"{ENV_PREFIX}PREFIX")
    if prefix:
        return prefix
    named = _option(arguments, "--config", "-c")
    try:
        document = read_yaml(seen.folder / (named or DEFAULT_FILE))
    except ConfigurationError:  # none there, or edited since
        document = None
    default = str(Settings.model_fields["prefix"].default)
    return str(document.get("prefix", default)) if isinstance(document, dict) else default


def _option(arguments: Sequence[str], *names: str) -> str | None:
    """The last value of an option, written apart, with `=`, or (short) joined."""
    value = None
    for number, argument in enumerate(arguments):
        name, equals, joined = argument.partition("=")
        if argument in names:
            value = arguments[number + 1] if number + 1 < len(arguments) else None
        elif equals and name in names and name.startswith("--"):
            value = joined
    return value


def processes_here() -> Iterator[Seen]:
    """The processes of this user."""
    for process in psutil.process_iter(["cmdline", "uids"]):
        uids, command = process.info["uids"], process.info["cmdline"]
        if not command or uids is None or uids.real != os.getuid():
            continue
        if not any("undertone" in part for part in command):
            continue  # where it runs and in what environment need not be asked
        try:
            yield Seen(process.pid, command, Path(process.cwd()), process.environ())
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied:
            yield Seen(process.pid, command)


def ask(
    service: Service,
    *,
    read: Callable[[int], RunningConfig | None] | None = None,
    seconds: float = ANSWER_SECONDS,
) -> Answer:
    """Send SIGHUP to a process and wait until it says what came of it.

    `read` gives what a process says of its files, None where it serves no metrics.
    """
    read = read or read_config
    before = read(service.pid)
    try:
        if not takes_hangup(service.pid):
            return Answer(service, Outcome.NOT_READY)
        os.kill(service.pid, signal.SIGHUP)
    except ProcessLookupError:
        return Answer(service, Outcome.GONE)
    if before is None:
        return Answer(service, Outcome.ASKED)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        now = read(service.pid)
        for outcome in (Outcome.REFUSED, Outcome.TAKEN_UP):
            label = outcome.name.lower()
            if now is not None and now.reloads.get(label, 0) > before.reloads.get(label, 0):
                return Answer(service, outcome, now.versions)
        if not psutil.pid_exists(service.pid):
            return Answer(service, Outcome.GONE)
        time.sleep(LOOK_SECONDS)
    return Answer(service, Outcome.UNANSWERED, before.versions)


def takes_hangup(pid: int) -> bool:
    """Whether a process handles SIGHUP: one that has only begun does not yet, and would end.

    Where the system does not tell (it has no /proc), yes. Raises ProcessLookupError.
    """
    if not Path("/proc/self/status").exists():
        return True
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        raise ProcessLookupError from None
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGHUP - 1) & 1)


def read_config(pid: int) -> RunningConfig | None:
    """What the metrics of a process say of its files; None where it serves none."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN:
            address = connection.laddr
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.ip, address.ip)
            host = f"[{host}]" if ":" in host else host
            try:
                url = f"http://{host}:{address.port}/metrics"
                answer = httpx.get(url, timeout=SCRAPE_SECONDS, trust_env=False)
            except httpx.HTTPError:
                continue
            return config_of(answer.text)
    return None


def config_of(exposition: str) -> RunningConfig | None:
    """What an exposition says of files; None where it says nothing of them."""
    reloads: dict[str, int] = {}
    versions: dict[str, str] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name == RELOADS_METRIC:
                reloads[sample.labels["outcome"]] = int(sample.value)
            elif sample.name == INFO_METRIC:
                versions[sample.labels["kind"]] = sample.labels["version"]
    return RunningConfig(reloads, versions) if versions else None
