"""An event is found by an alert on its subject in its time; what tells of none is false."""

from __future__ import annotations

import pytest

from builders import DAY_MS, HOUR_MS, START_MS, mention, progress
from undertone.alerting.rules import load_rules
from undertone.alerting.verdict import judge
from undertone.records import Alert
from undertone.truth import TruthEvent
from undertone.watch.core import Watch, WatchConfig


@pytest.fixture(scope="module")
def alert() -> Alert:
    watch = Watch(WatchConfig(rules=load_rules(), subjects={}))
    for offset in range(12):
        watch.apply(mention(START_MS + offset * 60_000, offset, "negative"))
    outputs = watch.apply(progress(START_MS + HOUR_MS))
    return next(output for output in outputs if isinstance(output, Alert))


def event(start: int, subject: str = "acme", polarity: str = "negative") -> TruthEvent:
    return TruthEvent.model_validate({"subject": subject, "start": start, "polarity": polarity})


@pytest.mark.parametrize(
    ("start", "found"), [(0, True), (HOUR_MS, True), (3 * HOUR_MS, False), (-2 * DAY_MS, False)]
)
def test_an_alert_finds_what_begins_around_it(alert: Alert, start: int, found: bool) -> None:
    verdict = judge([event(START_MS + start)], [alert])
    assert bool(verdict.found) is found
    assert bool(verdict.missed) is not found
    assert bool(verdict.false_alerts) is not found


def test_another_subject_or_a_praise_is_not_found(alert: Alert) -> None:
    other = judge([event(START_MS, "other")], [alert])
    assert other.missed and other.false_alerts == (alert.id,)
    praise = judge([event(START_MS, polarity="positive")], [alert])
    assert not praise.found and not praise.missed and praise.false_alerts == (alert.id,)
