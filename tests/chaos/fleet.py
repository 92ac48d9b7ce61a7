"""The services of a run as processes, and the supervisor that starts them again."""

from __future__ import annotations

import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from undertone.demo.processes import ServiceProcess, service_environment
from undertone.settings import Settings

BACK_OFF_SECONDS = 1.0
STOP_SECONDS = 60.0
TRACEBACK_CHARACTERS = 4_000
SERVICES = ("score", "watch")


@dataclass
class Worker:
    """One place in the fleet: the process in it now, and what is being done to it."""

    service: str
    process: ServiceProcess
    cause: str | None = None  # why it is about to end; None: it should not
    wake_at: float | None = None  # monotonic; while it is stopped
    start_at: float | None = None  # monotonic; while it waits to be started again
    wanted: bool = True


@dataclass
class Endings:
    """How processes ended: by cause and status, and the last words of those that nobody ended."""

    counts: Counter[str] = field(default_factory=Counter)
    unasked: list[str] = field(default_factory=list)


class Fleet:
    """Score and watch workers under one prefix. For one thread."""

    def __init__(
        self, settings: Settings, watchlist: Path, folder: Path, environment: dict[str, str]
    ) -> None:
        self._settings, self._folder = settings, folder
        self._environment = service_environment(settings) | environment
        self._arguments = [
            *("--prefix", settings.prefix, "--bootstrap", settings.kafka.bootstrap),
            *("--watchlist", str(watchlist), "--metrics-port", "0"),
        ]
        self._workers: list[Worker] = []
        self.endings = Endings()

    def count(self, service: str) -> int:
        """How many workers of a service there should be."""
        return sum(worker.wanted for worker in self._workers if worker.service == service)

    def add(self, service: str) -> None:
        """Start one more worker."""
        number = sum(worker.service == service for worker in self._workers) + 1
        log = self._folder / f"{service}-{number}.log"
        self._workers.append(Worker(service, self._start(service, log)))

    def kill(self, service: str, choice: float) -> bool:
        """SIGKILL; the supervisor starts it again. False where there is none to kill."""
        return self._end(service, choice, signal.SIGKILL, "killed")

    def terminate(self, service: str, choice: float) -> bool:
        """SIGTERM; the supervisor starts it again."""
        return self._end(service, choice, signal.SIGTERM, "terminated")

    def remove(self, service: str, choice: float) -> bool:
        """SIGTERM, for good."""
        worker = self._pick(service, choice)
        if worker is not None:
            worker.wanted = False
        return self._end_worker(worker, signal.SIGTERM, "removed")

    def pause(self, service: str, choice: float, seconds: float) -> bool:
        """SIGSTOP, and SIGCONT after some seconds."""
        worker = self._pick(service, choice)
        if worker is None or not _signal(worker, signal.SIGSTOP):
            return False
        worker.wake_at = time.monotonic() + seconds
        return True

    def supervise(self) -> None:
        """Wake who has slept enough, note who has ended, start again who is wanted."""
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.wake_at is not None and now >= worker.wake_at:
                _signal(worker, signal.SIGCONT)
                worker.wake_at = None
            if worker.start_at is not None:
                if now >= worker.start_at:
                    worker.process = self._start(worker.service, worker.process.log)
                    worker.start_at = worker.cause = None
            elif (status := worker.process.status) is not None:
                self._note_end(worker, status)
                if worker.wanted:
                    worker.start_at, worker.wake_at = now + BACK_OFF_SECONDS, None
                else:
                    worker.process.stop()
                    self._workers.remove(worker)

    def wake(self) -> None:
        """Let everybody run."""
        for worker in self._workers:
            worker.wake_at = worker.wake_at and 0.0
        self.supervise()

    def stop(self) -> None:
        """SIGTERM to all, and wait for them; who does not end in time is killed and told of."""
        self.wake()
        running = [worker for worker in self._workers if worker.start_at is None]
        for worker in running:
            self._end_worker(worker, signal.SIGTERM, "stopped")
        deadline = time.monotonic() + STOP_SECONDS
        for worker in running:
            while worker.process.status is None and time.monotonic() < deadline:
                time.sleep(0.1)
            status = worker.process.status
            if status is None:
                self.endings.unasked.append(f"{worker.process.name} did not stop")
            else:
                self._note_end(worker, status)
            worker.process.stop()
        self._workers.clear()

    def log_ends(self) -> str:
        """The last lines of every log."""
        logs = sorted(self._folder.glob("*-*.log"))
        return "\n".join(f"{log.name}:\n{_tail(log, 8)}" for log in logs)

    def tracebacks(self) -> list[str]:
        """The lines that tell of a traceback, which none should, and what came after each."""
        return [
            f"{log.name}: {told}"
            for log in sorted(self._folder.glob("*-*.log"))
            if (told := _from_traceback(log.read_text(errors="replace")))
        ]

    def _start(self, service: str, log: Path) -> ServiceProcess:
        own = ["--engine", "stub"] if service == "score" else []
        return ServiceProcess([service, *self._arguments, *own], self._environment, log)

    def _pick(self, service: str, choice: float) -> Worker | None:
        """One that runs, and that nothing is being done to."""
        running = [
            worker
            for worker in self._workers
            if worker.service == service
            and worker.process.status is None
            and worker.wanted
            and (worker.cause, worker.wake_at, worker.start_at) == (None, None, None)
        ]
        return running[int(choice * len(running))] if running else None

    def _end(self, service: str, choice: float, number: signal.Signals, cause: str) -> bool:
        return self._end_worker(self._pick(service, choice), number, cause)

    def _end_worker(self, worker: Worker | None, number: signal.Signals, cause: str) -> bool:
        if worker is None:
            return False
        worker.cause = cause
        return _signal(worker, number)

    def _note_end(self, worker: Worker, status: int) -> None:
        cause = worker.cause or "by itself"
        self.endings.counts[f"{worker.service} {cause}: {status}"] += 1
        # 143: SIGTERM before it had come so far as to take it in hand.
        expected = {"killed": (137,), "by itself": ()}.get(cause, (0, 143))
        if status not in expected:
            end = _tail(worker.process.log, 3)
            self.endings.unasked.append(f"{worker.process.name} {cause}, status {status}: {end}")


def _signal(worker: Worker, number: signal.Signals) -> bool:
    """Send a signal to the service itself, not to its guard; False where it has just ended."""
    try:
        psutil.Process(worker.process.pid).send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True


def _tail(log: Path, count: int) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def _from_traceback(text: str) -> str:
    """From the line that holds the first traceback on; empty where there is none."""
    before, found, after = text.partition("Traceback (most recent call last)")
    return before.rpartition("\n")[2] + found + after[:TRACEBACK_CHARACTERS] if found else ""
