"""Services that are started before their broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from servers import free_port
from undertone.demo.processes import ServiceProcess
from undertone.transport.embedded_broker import EmbeddedBroker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

WATCHLIST = "subjects:\n  - {id: acme, name: Acme, terms: [Acme]}\n"
DEADLINE_SECONDS = 120.0
READY = {"score": "scoring undertone.raw.news", "watch": '"ready"'}


@pytest.fixture
def services(
    tmp_path: Path, broker: EmbeddedBroker
) -> Iterator[tuple[dict[str, ServiceProcess], int]]:
    """Score and watch, looking for a broker on a port where none listens yet."""
    assert broker  # so that a machine without it skips this
    (tmp_path / "watchlist.yaml").write_text(WATCHLIST)
    port = free_port()
    with ExitStack() as stack:
        started = {}
        for name, own in (("score", ["--engine", "stub"]), ("watch", [])):
            process = ServiceProcess(
                [
                    *(name, "--bootstrap", f"127.0.0.1:{port}", "--metrics-port", "0", *own),
                    *("--watchlist", str(tmp_path / "watchlist.yaml")),
                ],
                {},
                tmp_path / f"{name}.log",
            )
            stack.callback(process.stop)
            started[name] = process
        yield started, port


def wait_for(process: ServiceProcess, words: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while words not in process.log.read_text():
        process.check()
        assert time.monotonic() < deadline, process.log_end()
        time.sleep(0.1)


def test_score_and_watch_wait_for_a_broker_that_comes_late(
    services: tuple[dict[str, ServiceProcess], int], tmp_path: Path
) -> None:
    processes, port = services
    for process in processes.values():
        wait_for(process, "looking again in 1 s")
    with EmbeddedBroker(tmp_path / "broker", port=port):
        for name, process in processes.items():
            wait_for(process, READY[name])
            process.stop()
            assert process.status == 0, process.log_end()
            lines = process.log.read_text().splitlines()
            tries = [line for line in lines if "looking again" in line]
            assert len(tries) == len(set(tries)) < 8
