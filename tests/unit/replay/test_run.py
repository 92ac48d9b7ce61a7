"""A pass over history: the warm-up, the point in time, interruption, memory."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import DAY_MS, HOUR_MS, START_MS
from made_history import ListSource, config, history
from undertone.records import AlertState
from undertone.replay.run import Pass, ReplayWatch, Sinks, replay, result_of
from undertone.replay.steps import Counts, Span, clock_at
from undertone.trends.points import Columns
from undertone.truth import TruthEvent

HISTORY = history(5, crisis_hours=(40, 60, 90))
WHOLE = replay(ListSource(HISTORY), config(), Span())


class Points:
    """Keeps when the windows of the points ended."""

    def __init__(self) -> None:
        self.window_ends: list[int] = []

    def add(self, points: Columns) -> None:
        self.window_ends += points["window_end"].tolist()


def test_a_crisis_is_told() -> None:
    assert {alert.subject for alert in WHOLE.alerts} == {"acme"}
    assert len({alert.id for alert in WHOLE.alerts}) >= 2


@settings(max_examples=25, deadline=None)
@given(
    cut=st.integers(START_MS, START_MS + 5 * DAY_MS),
    each=st.integers(1, 50),
)
def test_cutting_history_at_any_moment_gives_a_prefix_of_the_same_alerts(
    cut: int, each: int
) -> None:
    cut_run = replay(ListSource(HISTORY, until_ms=cut, each=each), config(), Span(until_ms=cut))
    expected = [alert for alert in WHOLE.alerts if alert.detected_at < cut]
    found = [alert for alert in cut_run.alerts if alert.detected_at < cut]
    assert [alert.to_json() for alert in found] == [alert.to_json() for alert in expected]
    # What the very moment of the cut decides by time alone may stand behind, and nothing else.
    assert all(alert.detected_at <= cut for alert in cut_run.alerts)


def test_alerts_of_the_warm_up_are_dropped_and_it_is_learnt_from() -> None:
    from_ms = START_MS + 70 * HOUR_MS
    span = Span(from_ms, None, warm_up_ms=70 * HOUR_MS)
    points = Points()
    run = replay(ListSource(HISTORY), config(), span, Sinks(points=[points]))
    assert [a.to_json() for a in run.alerts] == [
        a.to_json() for a in WHOLE.alerts if a.detected_at >= from_ms
    ]
    assert points.window_ends and min(points.window_ends) >= from_ms


def test_an_alert_that_was_firing_at_the_beginning_keeps_its_later_revisions() -> None:
    first = next(alert for alert in WHOLE.alerts if alert.revision == 1)
    span = Span(first.detected_at + 1, None, warm_up_ms=5 * DAY_MS)
    run = replay(ListSource(HISTORY), config(), span)
    assert run.open_at_start == 1
    assert any(a.id == first.id and a.state is AlertState.RESOLVED for a in run.alerts)
    notes = result_of(run, span, config(), source="list", events=None).notes
    assert any("still firing" in note for note in notes)


def test_a_log_that_begins_within_the_warm_up_is_told() -> None:
    span = Span(START_MS + DAY_MS, None, warm_up_ms=28 * DAY_MS)
    run = replay(ListSource(HISTORY), config(), span)
    notes = result_of(run, span, config(), source="list", events=None).notes
    assert any("The log begins at 2026-01-01" in note for note in notes)


def test_an_interrupted_pass_reports_what_it_has_seen() -> None:
    looks = 0

    def is_stopped() -> bool:
        nonlocal looks
        looks += 1
        return looks > 1

    long = history(20, crisis_hours=(40, 460))
    run = replay(ListSource(long), config(), Span(), is_stopped=is_stopped)
    result = result_of(run, Span(), config(), source="list", events=None)
    assert result.partial
    assert result.alerts
    assert START_MS + 40 * HOUR_MS < result.range.until_ms < START_MS + 460 * HOUR_MS
    assert result.notes[0].startswith(("Interrupted", "Without"))


def test_events_are_judged_where_they_lie_in_the_range() -> None:
    def event(hours: float, **fields: object) -> TruthEvent:
        at = START_MS + round(hours * HOUR_MS)
        return TruthEvent.model_validate({"subject": "acme", "start": at, **fields})

    events = [event(90), event(110), event(4000), event(1, polarity="positive")]
    result = result_of(WHOLE, Span(), config(), source="list", events=events)
    assert result.event_figures is not None
    assert (result.event_figures.total, result.event_figures.found) == (2, 1)
    assert result.event_figures.median_delay_minutes is not None
    assert 0 <= result.event_figures.median_delay_minutes <= 60
    assert len(result.delays_minutes) == 2
    assert any("1 events lie outside" in note for note in result.notes)
    document = result.as_json()
    assert {
        "messages",
        "mentions",
        "alerts",
        "precision",
        "events",
        "alerts_per_subject_month",
        "alerts_per_event",
        "messages_per_second",
    } <= set(document)


def test_without_events_alerts_are_ranked_by_surprise() -> None:
    result = result_of(WHOLE, Span(), config(), source="list", events=None)
    surprises = [alert.surprise for alert in result.ranked]
    assert surprises == sorted(surprises, reverse=True)
    assert result.precision is None and result.event_figures is None


def test_what_changed_is_forgotten_so_that_memory_does_not_grow() -> None:
    watch = ReplayWatch(config())
    for each in HISTORY[:50]:
        watch.apply(each)
    watch.apply(clock_at(HISTORY[50].ingested_at))
    watch.forget_changes()
    assert watch.take_changes() == {}


def test_nothing_at_all_is_a_result_too() -> None:
    result = result_of(Pass(counts=Counts()), Span(), config(), source="none", events=[])
    assert result.as_json()["messages"] == 0
    assert "The log holds no message in this range." in result.notes
