"""Configuration files that are read again on SIGHUP: taken up whole, or refused and told.

The signal only leaves a note, which the service finds when it is between two pieces of work.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Generic, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge

from undertone.errors import UndertoneError

log = logging.getLogger(__name__)

T = TypeVar("T")
STANDARD_ERROR = 2

INFO_METRIC = "undertone_config_info"
RELOADS_METRIC = "undertone_config_reloads_total"


class Hangups:
    """Notes SIGHUP. To be made early: until then the signal ends the process.

    When the terminal that the process was started on closes, it ends as on SIGTERM.
    """

    def __init__(self) -> None:
        self._noted = threading.Event()
        self._on_terminal = os.isatty(STANDARD_ERROR)
        signal.signal(signal.SIGHUP, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self._on_terminal and not os.isatty(STANDARD_ERROR):
            signal.raise_signal(signal.SIGTERM)
        self._noted.set()

    def take(self) -> bool:
        """Whether a signal came since this was last asked."""
        noted = self._noted.is_set()
        self._noted.clear()
        return noted


class Loaded(NamedTuple, Generic[T]):
    """What some files say, with the version of each kind (rules, watchlist)."""

    value: T
    versions: Mapping[str, str]


class ConfigMetrics:
    """Which versions run, and how the last reload went; named as Prometheus names its own."""

    def __init__(self, registry: CollectorRegistry, wall_clock: Callable[[], float]) -> None:
        """`wall_clock` gives seconds since 1970."""
        self._wall_clock = wall_clock
        self._info = Gauge(
            INFO_METRIC, "1 for the version that runs.", ["kind", "version"], registry=registry
        )
        self._successful = Gauge(
            "undertone_config_last_reload_successful",
            "1 where the files that were read last were taken up.",
            registry=registry,
        )
        self._success_at = Gauge(
            "undertone_config_last_reload_success_timestamp_seconds",
            "When files were last taken up, at the start too; since 1970.",
            registry=registry,
        )
        self._reloads = Counter(
            RELOADS_METRIC, "Reloads asked for, by outcome.", ["outcome"], registry=registry
        )
        for outcome in ("taken_up", "refused"):
            self._reloads.labels(outcome)

    def run(self, versions: Mapping[str, str]) -> None:
        """These versions run from now on, and no others."""
        self._info.clear()
        for kind, version in versions.items():
            self._info.labels(kind, version).set(1)
        self._successful.set(1)
        self._success_at.set(self._wall_clock())

    def count(self, outcome: str) -> None:
        """A reload has ended: `taken_up` or `refused`."""
        self._reloads.labels(outcome).inc()
        if outcome == "refused":
            self._successful.set(0)


class Reloads(Generic[T]):
    """The files of a service as it runs by them.

    `due` and `done` belong to one thread. Between them the service takes up the value.
    """

    def __init__(
        self,
        load: Callable[[], Loaded[T]],
        metrics: ConfigMetrics,
        is_asked: Callable[[], bool],
    ) -> None:
        """Load for the first time: raises what `load` raises. `is_asked`: `Hangups.take`."""
        self._load, self._metrics, self._is_asked = load, metrics, is_asked
        self._running = self._next = load()
        metrics.run(self._running.versions)

    @property
    def running(self) -> T:
        """What runs now."""
        return self._running.value

    def due(self) -> T | None:
        """What to take up, where it was asked for, can be read, and differs from what runs."""
        if not self._is_asked():
            return None
        try:
            self._next = self._load()
        except UndertoneError as error:
            log.error("reload refused, %s stays: %s", _told(self._running.versions), error)
            self._metrics.count("refused")
            return None
        if self._next.versions == self._running.versions:
            self.done()
            return None
        return self._next.value

    def done(self) -> None:
        """The value of the last `due` has been taken up."""
        before, self._running = self._running, self._next
        self._metrics.run(self._running.versions)
        self._metrics.count("taken_up")
        log.info("reloaded: %s (before: %s)", _told(self._running.versions), _told(before.versions))


def _told(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{kind} {version}" for kind, version in versions.items())
