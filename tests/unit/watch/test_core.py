"""The watch core: what it decides, and that restarts, copies and interleavings leave no trace."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import DAY_MS, HOUR_MS, MINUTE_MS, RAW, START_MS, mention, progress, written
from undertone.alerting.rules import Rule, RuleSet, load_rules
from undertone.records import (
    Alert,
    AlertState,
    Kind,
    Mention,
    Progress,
    RawPosition,
    Record,
    Severity,
    TrendPoint,
)
from undertone.watch.core import Watch, WatchConfig, WatchedSubject

SURGE = RuleSet.model_validate(
    {
        "rules": [
            {
                "name": "surge",
                "when": [{"signal": "negative_volume", "window": "1h", "surprise": 3}],
                "min_stories": 4,
                "cooldown": "1h",
                "resolve": {"surprise_below": 1, "for": "30m"},
                "rise_by": 3,
            },
            {
                "name": "tone",
                "severity": "info",
                "when": [{"signal": "negative_share", "window": "24h", "surprise": 3}],
                "min_stories": 8,
            },
        ]
    }
)
CONFIG = WatchConfig(rules=SURGE, subjects={"acme": WatchedSubject("Acme", {"desk": "widgets"})})


def quiet_days_then_crisis(seed: int = 1, *, copies: bool = False) -> list[Mention]:
    """Three days of two stories an hour, then an hour with twenty negative ones, then quiet."""
    draw = random.Random(seed)
    times = sorted(START_MS + draw.randrange(3 * DAY_MS) for _ in range(144))
    stream = [
        mention(at, offset, draw.choice(["neutral", "neutral", "positive", "negative"]))
        for offset, at in enumerate(times)
    ]
    begin = START_MS + 3 * DAY_MS
    for number in range(20):
        same = {"fingerprint": "0f" * 8} if copies else {}
        stream.append(mention(begin + number * 3 * MINUTE_MS, 144 + number, "negative", **same))
    for number in range(10):
        stream.append(mention(begin + (2 + number) * HOUR_MS, 164 + number, "neutral"))
    return stream


def play(
    records: Iterable[Mention | Progress],
    config: WatchConfig = CONFIG,
    *,
    restart: Callable[[int], bool] = lambda _number: False,
) -> list[Alert | TrendPoint]:
    """Apply a log; where `restart(n)` says so, go on from the stored parts after record n."""
    watch, parts, outputs = Watch(config), dict[str, bytes](), []
    for number, record in enumerate(records):
        outputs += written(watch.apply(record))
        for key, value in watch.take_changes().items():
            if value is None:
                parts.pop(key, None)
            else:
                parts[key] = value
        if restart(number):
            old, watch = watch, Watch(config)
            watch.restore(parts, old.complete_until, old.expected)
    return outputs


def with_progress(stream: list[Mention], every: int = 1) -> list[Mention | Progress]:
    """A log in which Progress follows each `every` mentions, and a last one a day later."""
    log: list[Mention | Progress] = []
    for number, item in enumerate(stream):
        log.append(item)
        if number % every == 0:
            log.append(progress(item.ingested_at))
    log.append(progress(stream[-1].ingested_at + DAY_MS))
    return log


def alerts(outputs: Iterable[Alert | TrendPoint]) -> list[Alert]:
    return [output for output in outputs if isinstance(output, Alert)]


def encoded(outputs: Iterable[Alert | TrendPoint]) -> list[bytes]:
    return [output.to_json() for output in outputs]


def test_a_surge_of_bad_news_fires_once_rises_and_resolves() -> None:
    told = [
        alert
        for alert in alerts(play(with_progress(quiet_days_then_crisis())))
        if alert.rule == "surge"
    ]
    assert [(alert.state, alert.severity) for alert in told] == [
        (AlertState.FIRING, Severity.WARNING),
        (AlertState.FIRING, Severity.CRITICAL),
        (AlertState.RESOLVED, Severity.CRITICAL),
    ]
    assert len({alert.id for alert in told}) == 1
    assert [alert.revision for alert in told] == [1, 2, 3]
    first = told[0]
    assert first.name == "Acme" and first.labels == {"desk": "widgets"}
    assert first.started_at == first.tipping.ingested_at >= START_MS + 3 * DAY_MS
    assert first.observed >= 4 and first.surprise >= 3


def test_an_alert_shows_distinct_negative_messages_of_its_window_as_evidence() -> None:
    first = alerts(play(with_progress(quiet_days_then_crisis())))[0]
    assert len(first.evidence) >= 3
    assert len({item.message_id for item in first.evidence}) == len(first.evidence)
    assert all((item.p_negative or 0) > 0.5 for item in first.evidence)
    assert all(item.published_at > first.detected_at - HOUR_MS for item in first.evidence)


def test_the_factors_multiply_to_what_was_observed_over_what_was_expected() -> None:
    first = alerts(play(with_progress(quiet_days_then_crisis())))[0]
    factors = first.factors
    product = factors.volume * factors.tone * factors.novelty
    assert abs(product / (first.observed / first.expected) - 1) < 0.05


def test_one_story_copied_twenty_times_fires_nothing() -> None:
    assert alerts(play(with_progress(quiet_days_then_crisis(copies=True)))) == []


def test_one_author_cannot_fire_an_alert() -> None:
    stream = [
        item if item.raw.offset < 144 else item.model_copy(update={"author": "loud"})
        for item in quiet_days_then_crisis()[:164]
    ]
    assert alerts(play(with_progress(stream))) == []


def test_replaying_a_log_gives_the_same_bytes() -> None:
    log = with_progress(quiet_days_then_crisis())
    assert encoded(play(log)) == encoded(play(log))


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 340), max_size=6), st.integers(1, 50))
def test_restarts_leave_no_trace(restarts: set[int], every: int) -> None:
    log = with_progress(quiet_days_then_crisis(), every)
    assert encoded(play(log, restart=restarts.__contains__)) == encoded(play(log))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_how_the_log_is_interleaved_with_progress_changes_no_alert(seed: int, every: int) -> None:
    stream = quiet_days_then_crisis()
    draw = random.Random(seed)
    behind = [
        item.model_copy(
            update={
                "raw": RawPosition(topic=RAW, partition=draw.randrange(2), offset=item.raw.offset)
            }
        )
        for item in stream
    ]
    # A scorer of partition 1 that lags: its mentions stand later in the log, in their own order.
    log: list[Mention | Progress] = []
    held: list[Mention] = []
    for number, item in enumerate(behind):
        (held if item.raw.partition else log).append(item)
        if number % every == 0:
            log += held
            held = []
            log.append(progress(item.ingested_at, partitions=2))
    log += [*held, progress(stream[-1].ingested_at + DAY_MS, partitions=2)]
    straight = with_progress(behind)
    straight = [
        progress(record.complete_until[RAW][0], partitions=2)
        if isinstance(record, Progress)
        else record
        for record in straight
    ]
    assert encoded(play(log)) == encoded(play(straight))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 173), max_size=30))
def test_mentions_that_come_twice_count_once(repeated: list[int]) -> None:
    stream = quiet_days_then_crisis()
    log = with_progress(stream)
    doubled: list[Mention | Progress] = []
    for record in log:
        doubled.append(record)
        if isinstance(record, Mention) and record.raw.offset in repeated:
            doubled += stream[max(0, record.raw.offset - 5) : record.raw.offset + 1]
    assert encoded(play(doubled)) == encoded(play(log))


def test_what_a_rule_finds_depends_on_no_other_rule_and_on_no_written_window() -> None:
    log = with_progress(quiet_days_then_crisis())
    when = [
        {"signal": "volume", "window": "3h", "surprise": 2},
        {"signal": "mean_score", "window": "1h", "below": -0.3},
    ]
    both = RuleSet(rules=(SURGE.rules[0], Rule.model_validate({"name": "loud", "when": when})))
    together = alerts(play(log, WatchConfig(both, CONFIG.subjects)))
    assert {alert.rule for alert in together} == {"surge", "loud"}
    for rule in both.rules:
        found = alerts(play(log, WatchConfig(RuleSet(rules=(rule,)), CONFIG.subjects, ())))
        assert [alert.model_copy(update={"rules_version": both.version}) for alert in found] == [
            alert for alert in together if alert.rule == rule.name
        ]


def test_nothing_is_decided_before_every_raw_partition_has_reported() -> None:
    stream = quiet_days_then_crisis()
    half = Progress(expected={RAW: 2}, complete_until={RAW: {0: stream[-1].ingested_at + DAY_MS}})
    assert play([*stream, half]) == []


def test_the_clock_is_the_least_and_never_goes_back() -> None:
    watch = Watch(CONFIG)
    for times in ({0: START_MS + 10, 1: START_MS + 20}, {0: START_MS + 5, 1: START_MS + 30}):
        watch.apply(Progress(expected={RAW: 2}, complete_until={RAW: times}))
    assert watch.clock_ms == START_MS + 10


def test_a_late_mention_is_counted_and_kept_out_of_windows() -> None:
    late = mention(START_MS + 5 * HOUR_MS, 0, "negative", published_at=START_MS)
    punctual = mention(START_MS + 5 * HOUR_MS + 1, 1, "negative")
    points = [
        output
        for output in play([late, punctual, progress(START_MS + 7 * HOUR_MS)])
        if isinstance(output, TrendPoint) and output.mentions
    ]
    assert points and all(point.mentions == 1 and point.late == 1 for point in points)


def test_a_mention_from_the_future_counts_when_it_arrived() -> None:
    future = mention(START_MS, 0, published_at=START_MS + 30 * DAY_MS)
    points = [
        output
        for output in play([future, progress(START_MS + HOUR_MS)])
        if isinstance(output, TrendPoint)
    ]
    assert points and points[0].window_end <= START_MS + HOUR_MS


def test_an_unscored_mention_is_counted_without_a_made_up_score() -> None:
    points = [
        output
        for output in play([mention(START_MS, 0, None), progress(START_MS + HOUR_MS)])
        if isinstance(output, TrendPoint) and output.mentions
    ]
    assert points[0].unscored == 1 and points[0].mean_score is None
    assert (points[0].negative, points[0].neutral, points[0].positive) == (0, 0, 0)


def test_kinds_have_series_of_their_own() -> None:
    log = [
        mention(START_MS, 0),
        mention(START_MS, 1, kind=Kind.SOCIAL),
        progress(START_MS + HOUR_MS),
    ]
    kinds = {output.kind for output in play(log) if isinstance(output, TrendPoint)}
    assert kinds == {"news", "social"}


def test_a_trend_point_is_written_only_when_its_numbers_changed() -> None:
    points = [
        output
        for output in play([mention(START_MS + 1, 0), progress(START_MS + 3 * DAY_MS)])
        if isinstance(output, TrendPoint)
    ]
    by_window = {
        window: [point.mentions for point in points if point.window == window]
        for window in ("5m", "1h", "24h")
    }
    assert by_window == {"5m": [1, 0], "1h": [1, 0], "24h": [1, 0]}


def test_what_leaves_a_window_between_its_steps_is_told_at_the_next_step() -> None:
    # The day's window is written on the hour. The first mention leaves it at 24:30:10; in between,
    # at 24:48, time wakes the subject because the second has left the window of an hour.
    first = START_MS + 30 * MINUTE_MS
    second = START_MS + 23 * HOUR_MS + 40 * MINUTE_MS
    points = [
        ((output.window_end - START_MS) // HOUR_MS, output.mentions)
        for output in play([mention(first, 0), mention(second, 1), progress(second + 2 * DAY_MS)])
        if isinstance(output, TrendPoint) and output.window == "24h"
    ]
    assert points == [(1, 1), (24, 2), (25, 1), (48, 0)]


def test_a_trend_point_encodes_as_every_record_does() -> None:
    points = [
        output
        for output in play(with_progress(quiet_days_then_crisis()[:40]))
        if isinstance(output, TrendPoint)
    ]
    assert {point.mean_score is None for point in points} == {True, False}
    for point in points:
        again = TrendPoint.from_json(point.to_json())
        assert again == point and again.to_json() == Record.to_json(point) == point.to_json()


def test_state_of_a_quiet_subject_is_dropped_hour_by_hour() -> None:
    watch, parts = Watch(CONFIG), dict[str, bytes | None]()
    for offset in range(100):
        watch.apply(mention(START_MS + offset * HOUR_MS, offset))
        watch.apply(progress(START_MS + offset * HOUR_MS + 1))
        parts.update(watch.take_changes())
    hours = [key for key, value in parts.items() if "/hour/" in key and value is not None]
    assert len(hours) < 30
    assert not [key for key, value in parts.items() if "/pending/" in key and value is not None]


def test_the_default_rules_load_and_name_themselves() -> None:
    rules = load_rules()
    assert [rule.name for rule in rules.rules] == ["negative-surge", "tone-shift"]
    assert len(rules.version) == 12


def test_an_alert_on_a_fixed_level_lasts_until_the_level_is_left() -> None:
    level = RuleSet.model_validate(
        {
            "rules": [
                {
                    "name": "level",
                    "when": [{"signal": "negative_volume", "window": "1h", "above": 3}],
                    "resolve": {"surprise_below": 50, "for": "10m"},
                }
            ]
        }
    )
    log: list[Mention | Progress] = []
    for number in range(60):
        at = START_MS + number * 5 * MINUTE_MS
        log += [mention(at, number, "negative"), progress(at + 1)]
    last = START_MS + 59 * 5 * MINUTE_MS
    log.append(progress(last + DAY_MS))
    fired, resolved = (
        alert
        for alert in alerts(play(log, WatchConfig(rules=level, subjects={})))
        if alert.escalated_at is None or alert.state is AlertState.RESOLVED
    )
    assert fired.state is AlertState.FIRING and fired.observed == 4
    assert resolved.state is AlertState.RESOLVED and resolved.detected_at > last
