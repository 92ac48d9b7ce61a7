"""Alerts held against truth: what the figures count."""

from __future__ import annotations

from made_alerts import START_MS, made_alert
from undertone.records import AlertState, Severity
from undertone.replay.figures import figures
from undertone.truth import TruthEvent

EVENT = TruthEvent(subject="acme", start=START_MS, polarity="negative")
LATER = TruthEvent(subject="globex", start=START_MS, polarity="negative")


def test_alerts_per_event_counts_alerts_that_tell_of_one_event_not_their_rises() -> None:
    one = made_alert(id="one")
    risen = made_alert(id="one", revision=2, severity=Severity.CRITICAL)
    two = made_alert(id="two", rule="tone-shift")
    false = made_alert(id="false", subject="initech")
    resolved = made_alert(id="two", revision=2, state=AlertState.RESOLVED)
    told = [one, risen, two, resolved, false]
    assert figures(told, [EVENT], subjects=3, days=30.44).alerts_per_event == 2.0
    # By the mean of the events that were found: one twice, one once.
    told.append(made_alert(id="three", subject="globex"))
    assert figures(told, [EVENT, LATER], subjects=3, days=30.44).alerts_per_event == 1.5


def test_without_an_event_found_there_are_no_alerts_per_event() -> None:
    false = made_alert(id="false", subject="initech")
    assert figures([false], [EVENT], subjects=1, days=30.44).alerts_per_event is None
    assert figures([false], None, subjects=1, days=30.44).alerts_per_event is None
