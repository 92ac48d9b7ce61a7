"""Alerts put together from their revisions, filtered, and found by how their id begins."""

from __future__ import annotations

import pytest

from made_alerts import START_MS, made_alert, resolved, risen
from undertone.alerting.history import AlertFilter, last_revisions, revisions_of
from undertone.errors import UsageError
from undertone.records import Alert, AlertState

ACME = made_alert(id="aa11", subject="acme")
ZENITH = made_alert(id="ab22", subject="zenith", rule="flood", started_at=START_MS + 1000)
# As the topic may hold them: repeated by a restart, and out of order between two workers.
ENDED = resolved(risen(ACME)).model_copy(update={"detected_at": START_MS + 60_000})
TOPIC = [ACME, ZENITH, risen(ACME), ACME, ENDED, risen(ACME)]


def ids(**wanted: object) -> list[str]:
    return [alert.id for alert in last_revisions(TOPIC, AlertFilter(**wanted))]  # type: ignore[arg-type]


def test_an_alert_is_listed_once_by_its_last_revision_the_latest_first() -> None:
    listed = last_revisions(TOPIC, AlertFilter())
    assert [(alert.id, alert.revision) for alert in listed] == [("ab22", 1), ("aa11", 3)]


def test_filters_look_at_the_last_revision() -> None:
    assert ids(state=AlertState.FIRING) == ["ab22"]
    assert ids(state=AlertState.RESOLVED) == ["aa11"]
    assert ids(subject="acme") == ["aa11"]
    assert ids(rule="flood") == ["ab22"]
    assert ids(since_ms=START_MS + 1) == ["aa11"]
    assert ids(subject="acme", rule="flood") == []


def test_an_alert_is_shown_with_all_its_revisions_each_once() -> None:
    assert [alert.revision for alert in revisions_of(TOPIC, "aa")] == [1, 2, 3]


def test_a_prefix_that_fits_two_names_them() -> None:
    with pytest.raises(UsageError, match=r"2 alerts .* aa11, ab22"):
        revisions_of(TOPIC, "a")


def test_a_whole_id_is_not_ambiguous() -> None:
    longer = ACME.model_copy(update={"id": "aa112"})
    assert revisions_of([ACME, longer], "aa11") == [ACME]


def test_an_unknown_id_is_told() -> None:
    with pytest.raises(UsageError, match="no alert has an id that begins with 'zz'"):
        revisions_of(TOPIC, "zz")


def test_nothing_listed_where_there_is_nothing() -> None:
    nothing: list[Alert] = []
    assert last_revisions(nothing, AlertFilter()) == []
