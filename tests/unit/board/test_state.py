"""What the board remembers: every subject of the watchlist, alerts by revision, within bounds."""

from __future__ import annotations

import pytest

from builders import DAY_MS, HOUR_MS
from made_alerts import START_MS, made_alert, made_trend_point, resolved, risen
from made_board import WATCHLIST
from undertone.board import state as bounds
from undertone.board.state import BoardState


def test_subjects_without_a_mention_are_there_and_others_come_as_they_are_heard_of() -> None:
    state = BoardState(WATCHLIST)
    state.take(made_trend_point(subject="acme"))
    state.take(made_alert(subject="bolt", name="Bolt Ltd"))
    assert [(subject.id, subject.is_listed) for subject in state.subjects] == [
        ("acme", True),
        ("hostile", True),
        ("quiet", True),
        ("bolt", False),
    ]
    bolt = state.subject("bolt")
    assert bolt is not None
    assert bolt.name == "Bolt Ltd"


def test_an_alert_is_the_sum_of_its_revisions_in_whatever_order_they_come() -> None:
    first = made_alert(surprise=3.0)
    second = risen(first).model_copy(update={"surprise": 7.0})
    last = resolved(second)
    state = BoardState({})
    assert [state.take(each) for each in (last, first, second, first)] == [True, True, True, False]
    (alert,) = state.alerts
    assert (alert.first, alert.last, alert.rises) == (first, last, (second,))
    assert not alert.is_open
    assert alert.loudest == second
    assert len(alert.evidence) == 1


def test_open_alerts_come_first_by_severity_then_those_that_ended_the_newest_first() -> None:
    state = BoardState({})
    for n, day in enumerate((1, 3, 2)):
        ended = made_alert(id=f"over-{n}", detected_at=START_MS - day * DAY_MS)
        state.take(resolved(ended))
    state.take(made_alert(id="low", surprise=9.0))
    state.take(risen(made_alert(id="high")))
    assert [alert.id for alert in state.alerts] == ["high", "low", "over-0", "over-2", "over-1"]


def test_alerts_are_bounded_and_open_ones_go_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "ALERTS", 5)
    monkeypatch.setattr(bounds, "SPARE", 2)
    state = BoardState({})
    state.take(made_alert(id="open", detected_at=START_MS - DAY_MS))
    for n in range(50):
        state.take(resolved(made_alert(id=f"over-{n:02d}", detected_at=START_MS + n)))
        assert len(state.alerts) < 7
    kept = [alert.id for alert in state.alerts]
    assert kept[:3] == ["open", "over-49", "over-48"]


def test_alerts_of_ninety_days_ago_are_forgotten_by_the_time_of_the_stream() -> None:
    state = BoardState({})
    state.take(made_alert())
    state.take(made_trend_point(window_end=START_MS + 90 * DAY_MS))
    assert len(state.alerts) == 1
    state.take(made_trend_point(window_end=START_MS + 90 * DAY_MS + HOUR_MS))
    assert state.alerts == []


def test_the_next_alert_lets_go_of_those_that_have_not_spoken_for_ninety_days() -> None:
    state = BoardState({})
    later = START_MS + 91 * DAY_MS
    state.take(made_alert(id="spoke"))
    for n in range(3):
        state.take(resolved(made_alert(id=f"old-{n}", detected_at=START_MS + n)))
    state.take(made_alert(id="spoke", revision=2, detected_at=START_MS + 2 * DAY_MS))
    state.take(made_alert(id="new", detected_at=later))
    assert [state.alert(id) is None for id in ("old-0", "old-1", "old-2")] == [True] * 3
    assert [alert.id for alert in state.alerts] == ["new", "spoke"]


def test_an_alert_keeps_its_first_revision_and_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "REVISIONS", 3)
    state = BoardState({})
    for revision in range(1, 9):
        state.take(made_alert(revision=revision))
    assert [each.revision for each in state.alerts[0].revisions] == [1, 7, 8]


def test_subjects_and_windows_are_bounded_and_what_is_left_out_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "SUBJECTS", 2)
    monkeypatch.setattr(bounds, "WINDOWS", 2)
    state = BoardState({"acme": WATCHLIST["acme"]})
    taken = [state.take(made_trend_point(subject=name)) for name in ("a", "b", "b", "c")]
    assert (taken, state.left_out) == ([True, False, False, False], 2)
    windows = ["5m", "1h", "3h", "not a window"]
    assert [state.take(made_trend_point(window=window)) for window in windows] == [
        True,
        True,
        False,
        False,
    ]
    assert state.windows() == ["5m", "1h"]
