"""What is pushed when, and which route an alert takes when pushing fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from made_alerts import made_alert, resolved, risen
from undertone.alerting.alertmanager import (
    AlertmanagerClient,
    AlertmanagerRefusalError,
    identity,
)
from undertone.alerting.notifier import LIFETIME_MS, Notifier
from undertone.errors import AlertmanagerError
from undertone.records import Alert, parse_instant


class FakeAlertmanager(AlertmanagerClient):
    """Records what is pushed; `fault` decides which pushes fail."""

    def __init__(self) -> None:
        self.pushes: list[list[dict[str, Any]]] = []
        self.fault: Callable[[list[dict[str, Any]]], AlertmanagerError | None] = lambda _: None
        self.by_prometheus: set[frozenset[tuple[str, str]]] = set()
        self.pushed = threading.Event()

    def push(self, payloads: Any) -> None:
        if (error := self.fault(payloads)) is not None:
            raise error
        self.pushes.append(payloads)
        self.pushed.set()

    def on_prometheus_route(self) -> set[frozenset[tuple[str, str]]]:
        return self.by_prometheus

    def close(self) -> None:
        pass

    def down(self, _: Any = None) -> AlertmanagerError:
        return AlertmanagerError("connection refused")


class Stage:
    """A notifier with a fake Alertmanager and a clock moved by hand."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000
        self.alertmanager = FakeAlertmanager()
        self.routes: dict[str, str] = {}
        self.notifier = Notifier(
            self.alertmanager,
            set_notified=self.routes.__setitem__,
            wall_clock_ms=lambda: self.now_ms,
        )

    def pushed(self) -> list[tuple[str, str, int]]:
        """(subject, severity, milliseconds until the end time) of the pushes since last asked."""
        self.notifier.push_due()
        items = [
            (
                payload["labels"]["subject"],
                payload["labels"]["severity"],
                parse_instant(payload["endsAt"]) - self.now_ms,
            )
            for push in self.alertmanager.pushes
            for payload in push
        ]
        self.alertmanager.pushes.clear()
        return items


@pytest.fixture
def stage() -> Stage:
    return Stage()


def fire(stage: Stage, **changes: Any) -> Alert:
    """An alert that has been pushed once."""
    alert = made_alert(**changes)
    stage.notifier.alert(alert, 0)
    stage.pushed()
    return alert


def test_an_alert_is_pushed_at_once_and_again_every_minute(stage: Stage) -> None:
    stage.notifier.alert(made_alert(), 0)
    assert stage.pushed() == [("acme", "warning", LIFETIME_MS)]
    assert stage.pushed() == []
    stage.now_ms += 59_999
    assert stage.pushed() == []
    stage.now_ms += 1
    assert stage.pushed() == [("acme", "warning", LIFETIME_MS)]
    assert stage.routes == {"acme-1": "direct"}


def test_the_next_push_is_announced(stage: Stage) -> None:
    assert stage.notifier.push_due() is None
    stage.notifier.alert(made_alert(), 0)
    assert stage.notifier.push_due() == 60.0
    stage.now_ms += 45_000
    assert stage.notifier.push_due() == 15.0


def test_a_rise_pushes_both_severities_at_once_and_both_end_together(stage: Stage) -> None:
    higher = risen(fire(stage))
    stage.notifier.alert(higher, 0)
    assert stage.pushed() == [
        ("acme", "warning", LIFETIME_MS),
        ("acme", "critical", LIFETIME_MS),
    ]
    stage.notifier.alert(resolved(higher), 0)
    assert stage.pushed() == [("acme", "warning", 0), ("acme", "critical", 0)]
    stage.now_ms += 3_600_000
    assert stage.pushed() == []


def test_a_revision_delivered_again_is_not_pushed_again(stage: Stage) -> None:
    alert = fire(stage)
    stage.notifier.alert(alert, 0)
    assert stage.pushed() == []


def test_a_resolution_is_pushed_until_it_is_taken(stage: Stage) -> None:
    alert = fire(stage)
    stage.alertmanager.fault = stage.alertmanager.down
    stage.notifier.alert(resolved(alert), 0)
    assert stage.pushed() == []
    stage.alertmanager.fault = lambda _: None
    stage.now_ms += 60_000
    assert stage.pushed() == [("acme", "warning", 0)]
    assert stage.notifier.push_due() is None


def test_a_resolution_is_given_up_once_alertmanager_has_resolved_by_itself(stage: Stage) -> None:
    alert = fire(stage)
    stage.alertmanager.fault = stage.alertmanager.down
    stage.notifier.alert(resolved(alert), 0)
    stage.pushed()
    stage.now_ms += LIFETIME_MS
    stage.pushed()
    assert stage.notifier.push_due() is None
    assert stage.routes == {"acme-1": "direct"}


def test_an_alert_whose_first_push_fails_is_left_to_prometheus_for_its_life(stage: Stage) -> None:
    stage.alertmanager.fault = stage.alertmanager.down
    alert = fire(stage)
    assert stage.routes == {"acme-1": "prometheus"}
    stage.alertmanager.fault = lambda _: None
    higher = risen(alert)
    stage.notifier.alert(higher, 0)
    stage.now_ms += 60_000
    assert stage.pushed() == []
    stage.notifier.alert(resolved(higher), 0)
    assert stage.pushed() == []
    assert stage.routes == {"acme-1": "prometheus"}


def test_a_rise_that_cannot_be_pushed_moves_the_alert_to_prometheus(stage: Stage) -> None:
    alert = fire(stage)
    stage.alertmanager.fault = stage.alertmanager.down
    stage.notifier.alert(risen(alert), 0)
    stage.pushed()
    assert stage.routes == {"acme-1": "prometheus"}


def test_a_repeat_that_fails_moves_the_alert_only_when_its_end_draws_near(stage: Stage) -> None:
    fire(stage)
    stage.alertmanager.fault = stage.alertmanager.down
    for _ in range(7):
        stage.now_ms += 60_000
        stage.pushed()
        assert stage.routes == {"acme-1": "direct"}
    stage.now_ms += 60_000
    stage.pushed()
    assert stage.routes == {"acme-1": "prometheus"}


def test_one_refused_alert_does_not_hold_back_the_others(stage: Stage) -> None:
    def refuse_bad(payloads: list[dict[str, Any]]) -> AlertmanagerError | None:
        bad = any(payload["labels"]["subject"] == "bad" for payload in payloads)
        return AlertmanagerRefusalError("no") if bad else None

    stage.alertmanager.fault = refuse_bad
    for subject in ("one", "bad", "two"):
        stage.notifier.alert(made_alert(subject=subject), 0)
    assert {subject for subject, _, _ in stage.pushed()} == {"one", "two"}
    assert stage.routes == {"one-1": "direct", "bad-1": "prometheus", "two-1": "direct"}


def test_a_lost_partition_is_no_longer_repeated_and_not_resolved(stage: Stage) -> None:
    fire(stage, subject="one")
    stage.notifier.alert(made_alert(subject="two"), 1)
    stage.pushed()
    stage.notifier.drop_partition(0)
    stage.now_ms += 60_000
    assert stage.pushed() == [("two", "warning", LIFETIME_MS)]


def test_a_recovered_partition_is_pushed_at_once(stage: Stage) -> None:
    stage.notifier.set_partition(0, [risen(made_alert())])
    assert [severity for _, severity, _ in stage.pushed()] == ["warning", "critical"]
    assert stage.routes == {"acme-1": "direct"}


def test_a_recovered_alert_that_prometheus_tells_of_stays_with_prometheus(stage: Stage) -> None:
    alert = made_alert()
    stage.alertmanager.by_prometheus = {frozenset(identity(alert).items())}
    stage.notifier.set_partition(0, [alert, made_alert(subject="ours")])
    assert [subject for subject, _, _ in stage.pushed()] == ["ours"]
    assert stage.routes == {"acme-1": "prometheus", "ours-1": "direct"}


def test_without_an_alertmanager_all_alerts_are_left_to_prometheus() -> None:
    routes: dict[str, str] = {}
    with Notifier(None, set_notified=routes.__setitem__, wall_clock_ms=lambda: 0) as notifier:
        alert = made_alert()
        notifier.alert(alert, 0)
        notifier.alert(risen(alert), 0)
        notifier.set_partition(1, [made_alert(subject="other")])
        assert notifier.push_due() is None
    assert routes == {"acme-1": "prometheus", "other-1": "prometheus"}


def test_the_thread_pushes_what_comes_and_ends_with_close(stage: Stage) -> None:
    with stage.notifier:
        stage.notifier.alert(made_alert(), 0)
        assert stage.alertmanager.pushed.wait(10)
    assert len(stage.alertmanager.pushes) == 1
    assert not any(thread.name == "notifier" for thread in threading.enumerate())


def test_what_was_not_said_is_said_at_the_end(stage: Stage) -> None:
    stage.notifier.start()
    stage.notifier.alert(made_alert(), 0)
    stage.notifier.close()
    assert len(stage.alertmanager.pushes) == 1
