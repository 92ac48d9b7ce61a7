"""Real Prometheus and Alertmanager processes on free ports of 127.0.0.1, and a webhook receiver.

They run the files of `deploy/`, rendered with the test's addresses and short intervals, keep their
data in the test's directory, and end with their `with` block.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
READY_SECONDS = 30.0


def binary(*names: str) -> str:
    """The first of these programs that is installed; skips the test where none is."""
    for name in names:
        if (path := shutil.which(name)) is not None:
            return path
    pytest.skip(f"{names[0]} is not installed (Debian: prometheus, prometheus-alertmanager)")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Notification:
    """One alert within one notification, as a receiver sees it."""

    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    fingerprint: str


class Webhook:
    """Receives Alertmanager's notifications; `url` is where to send them."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._received: list[Notification] = []
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/alerts"

    def __enter__(self) -> Webhook:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def told(self, subject: str) -> list[Notification]:
        """Every notification about a subject so far, in order."""
        with self._changed:
            return [item for item in self._received if item.labels.get("subject") == subject]

    def wait_for(
        self,
        subject: str,
        enough: Callable[[list[Notification]], bool],
        *,
        deadline_seconds: float = 60,
    ) -> list[Notification]:
        """Wait until what was told about a subject is enough; fails at the deadline."""
        with self._changed:
            self._changed.wait_for(lambda: enough(self.told(subject)), deadline_seconds)
            told = self.told(subject)
        assert enough(told), f"{subject}: only this was told in {deadline_seconds} s: {told}"
        return told

    def _take(self, body: bytes) -> None:
        with self._changed:
            for alert in json.loads(body)["alerts"]:
                self._received.append(
                    Notification(
                        alert["status"],
                        alert["labels"],
                        alert["annotations"],
                        alert["startsAt"],
                        alert["fingerprint"],
                    )
                )
            self._changed.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                allowed = self.headers["Authorization"] == f"Bearer {webhook._token}"
                if allowed:
                    webhook._take(body)
                self.send_response(200 if allowed else 401)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Keep the test's output quiet."""

        return Handler


@contextmanager
def running(command: list[str], ready_url: str, log_file: Path) -> Iterator[None]:
    """Run a server until the block ends, from when it answers `ready_url`."""
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(process, ready_url, log_file)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], ready_url: str, log_file: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"ended at once: {log_file.read_text()[-2000:]}"
        try:
            if httpx.get(ready_url, timeout=2).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not ready in {READY_SECONDS} s: {log_file.read_text()[-2000:]}")


@contextmanager
def alertmanager(
    directory: Path,
    webhook_url: str,
    token: str,
    change: Callable[[dict[str, Any]], None] = lambda document: None,
) -> Iterator[str]:
    """Run Alertmanager with the shipped configuration, as `change` changes it; yields its URL."""
    program = binary("prometheus-alertmanager", "alertmanager")
    document = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    for route in (document["route"], *document["route"]["routes"]):
        route["group_wait"] = route["group_interval"] = "1s"
    document["receivers"][0]["webhook_configs"][0]["url"] = webhook_url
    document["templates"] = [
        str(DEPLOY / "alertmanager" / pattern) for pattern in document["templates"]
    ]
    change(document)
    (directory / "secrets").mkdir(parents=True)
    (directory / "secrets" / "webhook-token").write_text(token)
    configuration = directory / "alertmanager.yml"
    configuration.write_text(yaml.safe_dump(document))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.path={directory / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with running(command, f"http://{address}/-/ready", directory / "log"):
        yield f"http://{address}"


@contextmanager
def prometheus(
    directory: Path, *, watch_target: str, alertmanager_url: str, keep_firing_for: str
) -> Iterator[str]:
    """Run Prometheus with the shipped configuration and rules; yields its URL.

    It scrapes and evaluates each second; alerts end `keep_firing_for` after their series.
    """
    program = binary("prometheus")
    directory.mkdir(parents=True)
    document = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    jobs = {job["job_name"]: job for job in document["scrape_configs"]}
    jobs["undertone-watch"]["static_configs"] = [{"targets": [watch_target]}]
    document["scrape_configs"] = [jobs["undertone-watch"]]
    target = alertmanager_url.removeprefix("http://")
    document["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [target]}]}]
    for name in document["rule_files"]:
        rules = yaml.safe_load((DEPLOY / "prometheus" / name).read_text())
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            if rule.get("alert") == "UndertoneSentiment":
                rule["keep_firing_for"] = keep_firing_for
        (directory / name).write_text(yaml.safe_dump(rules))
    configuration = directory / "prometheus.yml"
    configuration.write_text(yaml.safe_dump(document))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={address}",
        "--rules.alert.resend-delay=1s",
    ]
    with running(command, f"http://{address}/-/ready", directory / "log"):
        yield f"http://{address}"
