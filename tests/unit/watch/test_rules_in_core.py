"""Overrides, steps of severity, quiet hours and the tipping message, in the watch core."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import DAY_MS, HOUR_MS, MINUTE_MS, START_MS, mention, progress
from undertone.alerting.alertmanager import severities
from undertone.alerting.quiet_hours import QuietHours
from undertone.alerting.rules import RuleSet
from undertone.records import Alert, AlertState, Mention, Severity
from undertone.watch.core import Watch, WatchConfig, WatchedSubject
from undertone.watchlist.subjects import Prior

CRISIS_MS = START_MS + 3 * DAY_MS + 23 * HOUR_MS  # eleven at night
NIGHT = {"at": ["22:00-07:00"], "below": "critical"}
MORNING_MS = START_MS + 4 * DAY_MS + 7 * HOUR_MS
# Subjects of whom much is heard and hardly anything bad, so that the night is a great surprise.
HARDLY_BAD = Prior(stories_per_day=48, negative_share=0.02)
SUBJECTS = {name: WatchedSubject(name, prior=HARDLY_BAD) for name in ("acme", "hushed")}


def surge(**changes: Any) -> RuleSet:
    rule = {
        "name": "surge",
        "when": [{"signal": "negative_volume", "window": "24h", "surprise": 3}],
        "min_stories": 4,
        "resolve": {"surprise_below": 1, "for": "30m"},
    }
    return RuleSet.model_validate({"rules": [rule | changes]})


def night_of_bad_news(stories: int = 20, subject: str = "acme") -> list[Mention]:
    """Three days of a story each half hour, then bad news every three minutes from 23:00 on."""
    draw = random.Random(2)
    calm = [START_MS + number * HOUR_MS // 2 for number in range(3 * 48 + 46)]
    bad = [CRISIS_MS + number * 3 * MINUTE_MS for number in range(stories)]
    after = [MORNING_MS + number * HOUR_MS for number in range(36)]
    return [
        mention(
            at,
            offset,
            "negative" if at in bad else draw.choice(["neutral", "neutral", "positive"]),
            subject=subject,
        )
        for offset, at in enumerate(sorted([*calm, *bad, *after]))
    ]


def play(
    stream: Sequence[Mention],
    rules: RuleSet,
    *,
    restart: Callable[[int], bool] = lambda _number: False,
) -> tuple[list[Alert], Watch]:
    """The alerts of a log; where `restart(n)` says so, go on from the stored parts after n."""
    config = WatchConfig(rules=rules, subjects=SUBJECTS, windows_ms=())
    watch, parts, outputs = Watch(config), dict[str, bytes](), []
    for number, item in enumerate(stream):
        outputs += [*watch.apply(item), *watch.apply(progress(item.ingested_at))]
        for key, value in watch.take_changes().items():
            parts[key] = value or b""
        if restart(number):
            old, watch = watch, Watch(config)
            watch.restore({k: v for k, v in parts.items() if v}, old.complete_until, old.expected)
    outputs += watch.apply(progress(stream[-1].ingested_at + 2 * DAY_MS))
    return [output for output in outputs if isinstance(output, Alert)], watch


def test_an_override_changes_the_rule_for_its_subjects_alone() -> None:
    rules = surge(overrides=[{"subjects": ["hushed"], "enabled": False}])
    assert play(night_of_bad_news(subject="acme"), rules)[0]
    assert play(night_of_bad_news(subject="hushed"), surge())[0]
    assert play(night_of_bad_news(subject="hushed"), rules)[0] == []
    stricter = surge(overrides=[{"subjects": ["acme"], "min_stories": 12, "severity": "info"}])
    alert = play(night_of_bad_news(), stricter)[0][0]
    assert (alert.observed, alert.severity) == (12, Severity.INFO)
    assert alert.rule == "surge"


def test_steps_of_severity_are_told_as_the_surprise_reaches_them() -> None:
    steps = {"info": 3, "critical": 4}
    told, _ = play(night_of_bad_news(), surge(severity=steps))
    assert [(alert.severity, alert.state) for alert in told] == [
        (Severity.INFO, AlertState.FIRING),
        (Severity.CRITICAL, AlertState.FIRING),
        (Severity.CRITICAL, AlertState.RESOLVED),
    ]
    assert 3 <= told[0].surprise < 4 <= told[1].surprise
    # What was told as info stays open on every route until all end.
    assert severities(told[2]) == severities(told[1]) == tuple(Severity)
    assert severities(told[0]) == (Severity.INFO,)


def test_what_quiet_hours_keep_back_is_told_when_they_end_with_what_tipped_it() -> None:
    # By the morning the day's bad news is half learnt: less of a surprise than in the night.
    day = [{"signal": "negative_volume", "window": "24h", "surprise": 2}]
    by_day, _ = play(night_of_bad_news(), surge(when=day, rise_by=50))
    kept, _ = play(night_of_bad_news(), surge(when=day, rise_by=50, quiet_hours=NIGHT))
    assert CRISIS_MS < by_day[0].detected_at < CRISIS_MS + HOUR_MS
    assert kept[0].detected_at == MORNING_MS
    assert (kept[0].id, kept[0].started_at) == (by_day[0].id, by_day[0].started_at)
    assert kept[0].observed == 20
    assert [alert.state for alert in kept] == [AlertState.FIRING, AlertState.RESOLVED]


def test_what_is_over_when_quiet_hours_end_was_never_told() -> None:
    hour = [{"signal": "negative_volume", "window": "1h", "surprise": 3}]
    assert play(night_of_bad_news(), surge(when=hour))[0]
    assert play(night_of_bad_news(), surge(when=hour, quiet_hours=NIGHT))[0] == []


def test_the_worst_is_told_in_quiet_hours() -> None:
    steps = {"warning": 3, "critical": 4}
    by_day, _ = play(night_of_bad_news(), surge(severity=steps))
    assert by_day[0].severity is Severity.WARNING
    told, _ = play(night_of_bad_news(), surge(severity=steps, quiet_hours=NIGHT))
    assert told[0].severity is Severity.CRITICAL
    assert told[0].detected_at < CRISIS_MS + HOUR_MS


def test_what_is_learnt_depends_on_no_rule_and_on_no_quiet_hours() -> None:
    def condition(window: str) -> list[dict[str, Any]]:
        return [{"signal": "negative_volume", "window": window, "surprise": 2}]

    played = [
        play(night_of_bad_news(), rules)
        for rules in (
            surge(when=condition("24h")),
            surge(when=condition("24h"), quiet_hours=NIGHT),
            surge(when=condition("1h"), min_stories=1),
            surge(overrides=[{"subjects": ["acme"], "enabled": False}]),
        )
    ]
    by_day, kept, of_an_hour, off = (told for told, _watch in played)
    assert of_an_hour[0].detected_at < by_day[0].detected_at < MORNING_MS
    assert kept[0].detected_at == MORNING_MS
    assert off == []
    learnt = [watch._subjects["acme"].state.baselines["news"] for _told, watch in played]
    assert all(baseline.to_list() == learnt[0].to_list() for baseline in learnt)
    # Of the night too, although alerts were open: a day's bad stories up to their bound.
    assert learnt[0].negative.count > 5


@settings(max_examples=12, deadline=None)
@given(
    st.sets(st.integers(0, 245), max_size=6),
    st.sampled_from(["warning", {"info": 2, "warning": 3.5, "critical": 20}]),
    st.sampled_from([["22:00-07:00"], ["thu-sun"], ["23:20-23:40", "mon"]]),
)
def test_restarts_leave_no_trace_and_the_night_is_quiet(
    restarts: set[int], severity: Any, at: list[str]
) -> None:
    quiet = {"at": at, "zone": "America/New_York", "below": "critical"}
    rules = surge(severity=severity, quiet_hours=quiet, hold="10m", min_sources=1)
    told, _ = play(night_of_bad_news(), rules, restart=restarts.__contains__)
    straight, _ = play(night_of_bad_news(), rules)
    assert straight
    assert [alert.to_json() for alert in told] == [alert.to_json() for alert in straight]
    hours = QuietHours.model_validate(quiet)
    for alert in told:
        if alert.state is AlertState.FIRING and alert.severity is not Severity.CRITICAL:
            assert hours.until_ms(alert.detected_at) is None


def test_no_two_alerts_of_a_rule_start_together_where_time_alone_tips_the_second() -> None:
    """The next night what was neutral leaves the window, and the share is too high once more."""
    told = {
        2 * HOUR_MS: ("neutral", 4),
        10 * HOUR_MS: ("negative", 3),
        11 * HOUR_MS: ("neutral", 4),
    }
    told[26 * HOUR_MS + HOUR_MS // 2] = ("neutral", 1)
    each = [(START_MS + at, mood) for at, (mood, number) in told.items() for _ in range(number)]
    stream = [mention(at, offset, mood) for offset, (at, mood) in enumerate(each)]
    share = {"signal": "negative_share", "window": "24h", "above": 0.3}
    rules = RuleSet.model_validate(
        {"rules": [{"name": "share", "when": [share], "min_stories": 3}]}
    )
    alerts, _ = play(stream, rules)
    fired = [alert for alert in alerts if alert.state is AlertState.FIRING]
    assert len(fired) == len({alert.id for alert in fired}) == 2
    second = fired[1]
    assert second.started_at == second.tipping.ingested_at == stream[-1].ingested_at
    assert play(stream, rules, restart=lambda _number: True)[0] == alerts


def test_the_tipping_message_is_evidence_however_weak_it_is() -> None:
    stream, rules = night_of_bad_news(), surge(min_stories=8)
    tipping = play(stream, rules)[0][0].tipping.message_id
    weak = [
        item.model_copy(update={"relevance": 0.1}) if item.message_id == tipping else item
        for item in stream
    ]
    for alert in play(weak, rules)[0]:
        assert alert.tipping.message_id == tipping
        ids = [item.message_id for item in alert.evidence]
        assert len(set(ids)) == len(ids) == 5
        assert ids[-1] == tipping
