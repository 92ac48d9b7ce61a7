"""The services as processes of their own, which end when the process that started them ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from undertone.errors import UndertoneError
from undertone.settings import Settings
from undertone.transport.broker_process import GUARD

STOP_SECONDS = 20.0
SHOWN_LOG_LINES = 15


class ServiceProcess:
    """One `undertone` command that runs until it is stopped; its output goes to a log file."""

    def __init__(
        self,
        arguments: list[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        outlives: bool = False,
    ) -> None:
        self.name = log.stem
        self.log = log
        command = [sys.executable, "-m", "undertone", *arguments]
        if not outlives:
            guard = [sys.executable, "-I", "-S", str(GUARD), str(STOP_SECONDS), ""]
            command = [*guard, *command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if outlives else subprocess.PIPE,
                stdout=output if outlives else subprocess.PIPE,
                stderr=output,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self.pid = self._process.pid
        if not outlives:
            assert self._process.stdout is not None
            with self._process.stdout as answer:
                self.pid = int(answer.readline())

    @property
    def status(self) -> int | None:
        """Its exit status (128 + n after signal n); None while it runs."""
        return self._process.poll()

    def check(self) -> None:
        """Raise UndertoneError, with the end of its log, where it has ended by itself."""
        status = self.status
        if status is not None:
            raise UndertoneError(
                f"{self.name} ended with status {status}; its log ends:\n{self.log_end()}"
            )

    def log_end(self) -> str:
        """The last lines of its log, indented."""
        lines = self.log.read_text(errors="replace").splitlines()[-SHOWN_LOG_LINES:]
        return "\n".join(f"  {line}" for line in lines)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        psutil.Process(self.pid).kill()
        self._process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """End it with SIGTERM, and by force when that does not end it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def service_environment(settings: Settings) -> dict[str, str]:
    """Settings that the demo decides, as variables, which stand above any settings file."""
    topics = [topic.model_dump(mode="json") for topic in settings.effective_raw_topics]
    return {
        "UNDERTONE_RAW_TOPICS": json.dumps(topics),
        "UNDERTONE_MENTIONS_PARTITIONS": str(settings.mentions_partitions),
        "UNDERTONE_MODEL__THREADS": str(settings.model.threads),
        "PYTHONUNBUFFERED": "1",
    }
