"""What the containers of the stack run, run outside them: commands, settings and health checks.

The containers' folders become folders of the test, and their ports free ones; nothing else of
deploy/compose.yaml changes. The demo's stream is played at full speed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployed import DEPLOY, bind_mounts, compose, demo_variables
from servers import free_port
from undertone.cli.main import COMMANDS
from undertone.transport.embedded_broker import EmbeddedBroker

pytestmark = pytest.mark.kafka

DEADLINE_SECONDS = 90
PORT_VARIABLES = {
    "score": "UNDERTONE_METRICS__SCORE_PORT",
    "watch": "UNDERTONE_METRICS__WATCH_PORT",
    "board": "UNDERTONE_BOARD__PORT",
    "serve": "UNDERTONE_SERVING__PORT",
    "notify": "UNDERTONE_NOTIFY__PORT",
}


class Stack:
    """The services of compose.yaml, as processes."""

    def __init__(self, broker: EmbeddedBroker, prefix: str, folder: Path) -> None:
        variables = {**demo_variables(), "UNDERTONE_WECOM_URL": "http://127.0.0.1:9/robot"}
        self.services: dict[str, Any] = compose(variables)["services"]
        self._broker, self._prefix, self._folder = broker, prefix, folder
        self.ports = {name: free_port() for name in PORT_VARIABLES}
        self._processes: list[subprocess.Popen[bytes]] = []
        for name in ("etc", "data", "tmp"):
            (folder / name).mkdir()
        for source, target, _ in bind_mounts(self.services["demo"]):
            (folder / "etc" / Path(target).name).write_bytes(source.read_bytes())

    def environment(self, name: str) -> dict[str, str]:
        """A service's variables, with this broker, these ports and topics of the test's own."""
        topics = [
            {"name": f"{self._prefix}.raw.{kind}", "kind": kind, "clock": "recorded"}
            for kind in ("news", "social")
        ]
        ours = {
            "UNDERTONE_PREFIX": self._prefix,
            "UNDERTONE_RAW_TOPICS": str(topics).replace("'", '"'),
            "UNDERTONE_KAFKA__BOOTSTRAP": self._broker.bootstrap,
            "UNDERTONE_METRICS__HOST": "127.0.0.1",
            "UNDERTONE_SERVING__HOST": "127.0.0.1",
            "UNDERTONE_BOARD__HOST": "127.0.0.1",
            "UNDERTONE_NOTIFY__HOST": "127.0.0.1",
            "UNDERTONE_ALERTMANAGER__URL": "",
            "HOME": str(self._folder / "tmp"),
            **{variable: str(self.ports[each]) for each, variable in PORT_VARIABLES.items()},
        }
        own = dict(self.services[name].get("environment", {}))
        if name == "score":
            own["UNDERTONE_MODEL__ENGINE"] = "stub"  # `serve` runs the model
        if name in self.ports:
            url, _, path = own["HEALTH_URL"].rpartition("/")
            own["HEALTH_URL"] = f"{url.rpartition(':')[0]}:{self.ports[name]}/{path}"
        return {
            **{n: v for n, v in os.environ.items() if not n.startswith("UNDERTONE_")},
            **own,
            **ours,
        }

    def command(self, name: str) -> list[str]:
        command = " ".join(self.services[name]["command"])
        for inside, outside in {
            "/etc/undertone": str(self._folder / "etc"),
            "/data": str(self._folder / "data"),
            "1000x": "max",
        }.items():
            command = command.replace(inside, outside)
        return [sys.executable, "-m", "undertone", *command.split()]

    def start(self, name: str) -> None:
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                self.command(name), env=self.environment(name), stdout=log, stderr=log
            )
        self._processes.append(process)

    def run(self, name: str) -> None:
        """A service that ends."""
        done = subprocess.run(
            self.command(name),
            env=self.environment(name),
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def health(self, name: str) -> subprocess.CompletedProcess[str]:
        """What the container's health check says."""
        return subprocess.run(
            [sys.executable, "-IS", DEPLOY / "docker" / "healthy.py"],
            env=self.environment(name),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    def wait_until_healthy(self, name: str) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (checked := self.health(name)).returncode != 0:
            assert time.monotonic() < deadline, checked.stderr + self.log(name).read_text()
            time.sleep(0.2)

    def metrics(self, name: str) -> str:
        return httpx.get(f"http://127.0.0.1:{self.ports[name]}/metrics").text

    def end(self) -> list[int]:
        """Stop all as Compose does; their exit statuses."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        return [process.wait(DEADLINE_SECONDS) for process in self._processes]

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def stack(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Iterator[Stack]:
    started = Stack(broker, prefix, tmp_path)
    yield started
    started.close()


def test_the_stack_starts_gets_healthy_and_plays_its_demo(stack: Stack) -> None:
    lasting = [name for name in ("score", "watch", "serve", "board", "notify") if name in COMMANDS]
    for name in lasting:
        assert stack.health(name).returncode == 1, "nothing runs yet"
        stack.start(name)
    stack.run("demo-stream")
    for name in lasting:
        stack.wait_until_healthy(name)
    stack.run("demo")
    deadline = time.monotonic() + DEADLINE_SECONDS
    while "undertone_window_surprise{" not in stack.metrics("watch"):
        assert time.monotonic() < deadline, stack.log("watch").read_text()
        time.sleep(0.2)
    ended = stack.end()
    assert ended == [0] * len(lasting), stack.log("score").read_text()


def test_a_watcher_beyond_the_partitions_is_ready_too(stack: Stack) -> None:
    """A rollout would wait for ever for one that never is."""
    for _ in range(3):
        stack.ports["watch"] = free_port()
        stack.start("watch")
        stack.wait_until_healthy("watch")
