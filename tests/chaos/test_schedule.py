"""The schedule of a chaos run, its stream, and how its outcome is judged: no broker needed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from chaos.outcome import Outcome, compare, same_alerts
from chaos.schedule import FULL, SHORT, FaultClass, Form, schedule
from chaos.stream import SkewedStamps, chaos_stream
from made_alerts import made_alert
from undertone.ingest.planning import TimedRecord
from undertone.records import Alert

OF_THE_STREAM = {FaultClass.POISON_RAW, FaultClass.SKEWED_STAMP, FaultClass.STORE_DISK}


@pytest.mark.parametrize("form", [SHORT, FULL], ids=lambda form: form.name)
def test_a_seed_always_gives_the_same_schedule_of_every_class(form: Form) -> None:
    faults = schedule(7, form)
    assert faults == schedule(7, form) != schedule(8, form)
    assert Counter(fault.what for fault in faults) == +Counter(form.counts)
    assert [fault.share for fault in faults] == sorted(fault.share for fault in faults)
    assert 0 < faults[0].share < faults[-1].share < 1


def test_the_full_form_has_every_class_of_fault() -> None:
    assert {what for what, count in FULL.counts.items() if count} | OF_THE_STREAM == set(FaultClass)


def test_skewed_stamps_do_not_depend_on_the_ticks_between() -> None:
    messages = [TimedRecord("raw", 0, b"x", timestamp_ms=10**12 + n) for n in range(400)]
    tick = TimedRecord("raw", 0, None, timestamp_ms=10**12)
    ticking = [record for message in messages for record in (tick, message)]
    skew = SkewedStamps(3, len(messages))
    skewed = list(skew.apply(messages))
    assert [record for record in skew.apply(ticking) if not record.is_tick] == skewed
    changed = sum(one != other for one, other in zip(messages, skewed, strict=True))
    assert changed == skew.count > 0


def test_the_stream_has_poison_among_its_messages(tmp_path: Path) -> None:
    stream, poisoned = chaos_stream(5, 1_000, tmp_path)
    assert poisoned > 0
    assert len(stream.arrivals) == 1_000 + poisoned


def outcome(alerts: list[Alert], **changes: int) -> Outcome:
    return Outcome({"messages_in": 9} | changes, [], alerts, 0, 0, [])


def test_alerts_are_the_same_within_a_minute_of_stream_time() -> None:
    alert = made_alert()
    near = alert.model_copy(update={"id": "b", "started_at": alert.started_at + 60_000})
    far = alert.model_copy(update={"id": "c", "started_at": alert.started_at + 60_001})
    assert same_alerts([alert], [near]) == []
    assert len(same_alerts([alert], [far])) == 1
    assert len(same_alerts([alert], [alert, far])) == 1


def test_a_message_counted_twice_is_told() -> None:
    alerts = [made_alert()]
    assert compare(outcome(alerts), outcome(alerts)) == []
    (wrong,) = compare(outcome(alerts), outcome(alerts, messages_in=10))
    assert wrong.startswith("accounting")
