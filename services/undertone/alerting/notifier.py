"""Keeps Alertmanager told of every open alert of the partitions that this worker holds.

Each firing alert is pushed at once and again every `repeat`, with an end time ahead; a resolved
one is pushed with its end time until that has been taken. An alert whose push fails for good
moves to the Prometheus route and never back: one alert is never pushed and left to the rule by
turns, or one route's "resolved" would contradict the other's "firing".
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from undertone.alerting.alertmanager import (
    AlertmanagerClient,
    AlertmanagerRefusalError,
    Route,
    identity,
    to_payloads,
)
from undertone.errors import AlertmanagerError
from undertone.records import Alert, AlertState

log = logging.getLogger(__name__)

# As long as the rules' keep_firing_for: a worker that restarts within it resolves nothing.
LIFETIME_MS = 900_000
BATCH_LIMIT = 64


@dataclass
class _Open:
    """One alert to keep told. `due_ms` is the wall time of its next push."""

    alert: Alert
    partition: int
    due_ms: int
    unsaid: bool = True
    restored: bool = False
    taken_ms: int | None = None


class Notifier:
    """Pushes alerts from a thread of its own; every method returns at once.

    `client` none: no Alertmanager is configured, and all alerts take the Prometheus route.
    `set_notified(alert_id, route)` is told each alert's route (Exposition.set_notified).
    `board_url` is where links to the alerts' evidence begin; none makes none.
    Call `start` and `close`, or use it as a context manager.
    """

    def __init__(
        self,
        client: AlertmanagerClient | None,
        *,
        set_notified: Callable[[str, Route], None],
        wall_clock_ms: Callable[[], int],
        repeat_ms: int = 60_000,
        board_url: str | None = None,
    ) -> None:
        self._client = client
        self._set_notified = set_notified
        self._wall_clock_ms = wall_clock_ms
        self._repeat_ms = repeat_ms
        self._board_url = board_url
        self._lifetime_ms = max(LIFETIME_MS, 4 * repeat_ms)
        self._open: dict[str, _Open] = {}
        self._on_prometheus: dict[str, int] = {}  # alert id → partition
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def alert(self, alert: Alert, partition: int) -> None:
        """Tell a new revision of an alert. Call it once the alerts topic has acknowledged it."""
        with self._lock:
            self._take(alert, partition, restored=False)
        self._wake.set()

    def set_partition(self, partition: int, open_alerts: Iterable[Alert]) -> None:
        """This worker has taken over a partition with these open alerts."""
        with self._lock:
            self._forget(partition)
            for alert in open_alerts:
                self._take(alert, partition, restored=True)
        self._wake.set()

    def drop_partition(self, partition: int) -> None:
        """Another worker goes on with this partition's alerts: stop, and resolve nothing."""
        with self._lock:
            self._forget(partition)

    def push_due(self) -> float | None:
        """Push everything that is due; the seconds until the next is, none where none waits.

        The thread calls this; tests call it instead of starting the thread.
        """
        if self._client is None:
            return None
        self._leave_to_prometheus_what_is_there(self._client)
        now_ms = self._wall_clock_ms()
        with self._lock:
            due = [(entry, entry.alert) for entry in self._open.values() if entry.due_ms <= now_ms]
        for start in range(0, len(due), BATCH_LIMIT):
            self._push(self._client, due[start : start + BATCH_LIMIT], now_ms)
        with self._lock:
            next_ms = min((entry.due_ms for entry in self._open.values()), default=None)
        return None if next_ms is None else max(0.0, (next_ms - self._wall_clock_ms()) / 1000)

    def start(self) -> None:
        """Start the pushing thread. Without an Alertmanager there is nothing to start."""
        if self._client is not None and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Push what has not been said yet, once, and end the thread. Resolves nothing."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
            self._thread = None
        if self._client is not None:
            self._client.close()

    def __enter__(self) -> Notifier:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                wait_seconds = self.push_due()
            except Exception:  # the thread must outlive any fault: nobody else would push
                log.exception("pushing alerts failed")
                wait_seconds = 1.0
            self._wake.wait(wait_seconds)
        with self._lock:
            unsaid = any(entry.unsaid for entry in self._open.values())
        if unsaid:
            self.push_due()

    def _take(self, alert: Alert, partition: int, *, restored: bool) -> None:
        known = self._open.get(alert.id)
        if known is not None and alert.revision <= known.alert.revision:
            return
        if self._client is None or alert.id in self._on_prometheus:
            self._leave_to_prometheus(alert, partition)
            return
        now_ms = self._wall_clock_ms()
        if known is None:
            self._open[alert.id] = _Open(alert, partition, now_ms, restored=restored)
            self._set_notified(alert.id, "direct")
        else:
            known.alert, known.due_ms, known.unsaid = alert, now_ms, True

    def _leave_to_prometheus(self, alert: Alert, partition: int) -> None:
        if alert.state is AlertState.FIRING:
            self._on_prometheus[alert.id] = partition
            self._set_notified(alert.id, "prometheus")
        else:
            self._on_prometheus.pop(alert.id, None)

    def _forget(self, partition: int) -> None:
        self._open = {k: v for k, v in self._open.items() if v.partition != partition}
        self._on_prometheus = {k: v for k, v in self._on_prometheus.items() if v != partition}

    def _leave_to_prometheus_what_is_there(self, client: AlertmanagerClient) -> None:
        """A restored alert may have moved to the Prometheus route before: it stays there."""
        with self._lock:
            restored = [entry for entry in self._open.values() if entry.restored]
        if not restored:
            return
        try:
            there = client.on_prometheus_route()
        except AlertmanagerError as error:
            log.warning("cannot read the open alerts of Alertmanager: %s", error)
            there = set()
        with self._lock:
            for entry in restored:
                entry.restored = False
                if frozenset(identity(entry.alert).items()) in there:
                    self._move(entry)

    def _move(self, entry: _Open) -> None:
        if self._open.get(entry.alert.id) is entry:
            del self._open[entry.alert.id]
            self._leave_to_prometheus(entry.alert, entry.partition)

    def _push(
        self, client: AlertmanagerClient, batch: list[tuple[_Open, Alert]], now_ms: int
    ) -> None:
        """Push a batch; where it is refused as a whole, each alone, to lose only the bad one."""
        payloads: list[dict[str, Any]] = []
        for _, alert in batch:
            ends_at_ms = now_ms
            if alert.state is AlertState.FIRING:
                ends_at_ms += self._lifetime_ms
            payloads += to_payloads(alert, ends_at_ms=ends_at_ms, board_url=self._board_url)
        try:
            client.push(payloads)
        except AlertmanagerRefusalError as error:
            if len(batch) > 1:
                for item in batch:
                    self._push(client, [item], now_ms)
                return
            self._failed(batch, now_ms, error)
        except AlertmanagerError as error:
            self._failed(batch, now_ms, error)
        else:
            self._taken(batch, now_ms)

    def _taken(self, batch: list[tuple[_Open, Alert]], now_ms: int) -> None:
        with self._lock:
            for entry, alert in batch:
                entry.taken_ms = now_ms
                if entry.alert is not alert:  # a newer revision came meanwhile, and is due
                    continue
                entry.unsaid = False
                entry.due_ms = now_ms + self._repeat_ms
                if alert.state is AlertState.RESOLVED and self._open.get(alert.id) is entry:
                    del self._open[alert.id]

    def _failed(
        self, batch: list[tuple[_Open, Alert]], now_ms: int, error: AlertmanagerError
    ) -> None:
        """What is new moves to Prometheus; a repeat only when its end time draws near."""
        log.warning("%d alerts could not be pushed: %s", len(batch), error)
        with self._lock:
            for entry, alert in batch:
                if entry.alert is alert:
                    entry.due_ms = now_ms + self._repeat_ms
                unheard_ms = now_ms - entry.taken_ms if entry.taken_ms is not None else None
                if alert.state is AlertState.RESOLVED:
                    # Once its last end time has passed, Alertmanager resolves it by itself.
                    if unheard_ms is None or unheard_ms >= self._lifetime_ms:
                        self._move(entry)
                elif entry.unsaid or unheard_ms is None or unheard_ms >= self._lifetime_ms // 2:
                    self._move(entry)
