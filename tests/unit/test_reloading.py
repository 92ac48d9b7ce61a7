"""SIGHUP leaves a note; edited files are taken up, or refused while the old ones stay."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from undertone.reloading import ConfigMetrics, Hangups, Loaded, Reloads
from undertone.watchlist.subjects import Watchlist, load_watchlist

OLD = "subjects: [{id: acme, name: Acme}]"
NEW = "subjects: [{id: acme, name: Acme}, {id: zenith, name: Zenith}]"


@pytest.fixture
def hangups() -> Iterator[Hangups]:
    before = signal.getsignal(signal.SIGHUP)
    yield Hangups()
    signal.signal(signal.SIGHUP, before)


class Service:
    """A service with a watchlist, asked to reload whenever it looks."""

    def __init__(self, file: Path) -> None:
        self.registry, self.seconds = CollectorRegistry(), 100.0
        metrics = ConfigMetrics(self.registry, lambda: self.seconds)

        def load() -> Loaded[Watchlist]:
            watchlist = load_watchlist(file)
            return Loaded(watchlist, {"watchlist": watchlist.version})

        self.reloads = Reloads(load, metrics, lambda: True)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"undertone_config_{name}", labels)

    @property
    def versions(self) -> list[str]:
        return [
            sample.labels["version"]
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == "undertone_config_info"
        ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "watchlist.yaml"
    path.write_text(OLD)
    return path


def test_an_edited_file_is_taken_up_and_its_version_told(file: Path) -> None:
    service = Service(file)
    old = load_watchlist(file)
    assert service.reloads.running == old
    assert service.versions == [old.version]
    file.write_text(NEW)
    service.seconds = 200.0
    new = service.reloads.due()
    assert new == load_watchlist(file)
    assert service.versions == [old.version], "until the service has taken it up"
    service.reloads.done()
    assert service.reloads.running == new
    assert service.versions == [load_watchlist(file).version] != [old.version]
    assert service.value("reloads_total", outcome="taken_up") == 1
    assert service.value("last_reload_success_timestamp_seconds") == 200.0


def test_a_wrong_file_is_refused_with_its_field_and_the_old_one_stays(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(file)
    before = service.versions
    file.write_text("subjects: [{id: Acme!, name: Acme}]")
    with caplog.at_level(logging.ERROR):
        assert service.reloads.due() is None
    assert f"{file}: subjects.0.id (Acme!)" in caplog.text
    assert before[0] in caplog.text
    assert service.versions == before
    assert service.value("last_reload_successful") == 0
    assert service.value("reloads_total", outcome="refused") == 1
    file.write_text(NEW)
    assert service.reloads.due() is not None
    service.reloads.done()
    assert service.value("last_reload_successful") == 1


def test_files_that_say_the_same_are_taken_up_without_work(file: Path) -> None:
    service = Service(file)
    file.write_text(f"# a comment\n{OLD}\n")
    assert service.reloads.due() is None
    assert service.value("reloads_total", outcome="taken_up") == 1


def test_nothing_is_read_before_it_is_asked_for(file: Path) -> None:
    registry = CollectorRegistry()
    loads: list[int] = []

    def load() -> Loaded[int]:
        loads.append(1)
        return Loaded(len(loads), {"rules": str(len(loads))})

    reloads = Reloads(load, ConfigMetrics(registry, lambda: 0.0), lambda: False)
    assert reloads.due() is None
    assert loads == [1]


def test_hangups_are_noted_and_taken_once(hangups: Hangups) -> None:
    assert not hangups.take()
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    assert hangups.take()
    assert not hangups.take()


def test_a_terminal_that_closes_still_ends_the_process() -> None:
    terminal, side = os.openpty()
    program = (
        "import signal; from undertone.reloading import Hangups; Hangups();"
        "print('ready', flush=True); signal.pause(); signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=side,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGHUP)  # the terminal is there: a request
        os.close(side)
        os.close(terminal)
        process.send_signal(signal.SIGHUP)
        assert process.wait(30) == -signal.SIGTERM
