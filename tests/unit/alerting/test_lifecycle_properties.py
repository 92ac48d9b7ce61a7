"""Whatever a stream does: one event, one alert, never milder while it lasts, silent by night."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders import HOUR_MS, MINUTE_MS, START_MS
from made_alerts import made_tipping_story
from undertone.alerting.lifecycle import Phase, RuleState, Standing, Step, decide, next_due_ms
from undertone.alerting.rules import Rule
from undertone.records import Condition, Severity

TIP = made_tipping_story()
FIRES_AT, QUIET_BELOW = 3.0, 1.5

durations = st.sampled_from(["0s", "10m", "1h", "5h"])
rules = st.fixed_dictionaries(
    {
        "hold": durations,
        "cooldown": durations,
        "resolve": st.fixed_dictionaries(
            {"surprise_below": st.just(QUIET_BELOW), "for": durations}
        ),
        "severity": st.sampled_from(
            [
                "info",
                "warning",
                "critical",
                {"warning": 4},
                {"info": 2, "critical": 6},
                {"info": 3, "warning": 5, "critical": 8},
            ]
        ),
        "quiet_hours": st.none()
        | st.fixed_dictionaries(
            {
                "at": st.lists(
                    st.sampled_from(["22:00-07:00", "12:00-13:00", "thu", "sat-sun"]),
                    min_size=1,
                    max_size=2,
                ),
                "zone": st.sampled_from(["UTC", "America/New_York"]),
                "below": st.sampled_from(["warning", "critical"]),
            }
        ),
    }
).map(
    lambda fields: Rule.model_validate(
        {
            "name": "r",
            "when": [{"signal": "negative_volume", "window": "1h", "surprise": FIRES_AT}],
            "min_stories": 1,
            **fields,
        }
    )
)
# Hours between two looks, and the surprise that stands from each on.
streams = st.lists(
    st.tuples(st.floats(0.01, 15), st.sampled_from([0.5, 2, 3, 3.5, 4.5, 6, 7, 9, 12])),
    min_size=1,
    max_size=40,
)


@dataclass
class Life:
    """A rule driven through a stream as the watcher drives it, woken whenever it asks to be."""

    rule: Rule
    state: RuleState = field(default_factory=RuleState)
    now_ms: int = START_MS
    surprise: float = 0.0
    told: list[tuple[int, Step, Severity | None]] = field(default_factory=list)

    def look(self) -> None:
        condition = Condition(
            window="1h", signal="negative_volume", observed=9, expected=1, surprise=self.surprise
        )
        standing = Standing(
            holds=self.surprise >= FIRES_AT,
            quiet=self.surprise < QUIET_BELOW,
            conditions=(condition,),
            stories=9,
            sources=1,
        )
        step = decide(self.rule, self.state, standing, TIP, self.now_ms)
        if step is not None:
            self.told.append((self.now_ms, step, self.state.severity))

    def wait_until(self, instant_ms: int) -> None:
        asked: list[int] = []
        while (due := next_due_ms(self.rule, self.state)) is not None and due <= instant_ms:
            # Twice at one moment: an alert that ends without a cooldown.
            assert asked[-2:] != [due, due], "it asks for a moment that it has had"
            asked.append(due)
            self.now_ms = max(due, self.now_ms)
            self.look()
        self.now_ms = instant_ms

    def play(self, stream: list[tuple[float, float]], restarts: frozenset[int]) -> Life:
        for number, (hours, surprise) in enumerate(stream):
            self.wait_until(self.now_ms + int(hours * HOUR_MS))
            self.surprise = surprise
            self.look()
            if number in restarts:
                stored = self.state.model_dump(mode="json", exclude_none=True)
                self.state = RuleState.model_validate(stored)
        self.wait_until(self.now_ms + 96 * HOUR_MS)
        return self


def play(
    rule: Rule, stream: list[tuple[float, float]], restarts: frozenset[int] = frozenset()
) -> list[tuple[int, Step, Severity | None]]:
    return Life(rule).play(stream, restarts).told


@given(rules, streams)
def test_one_event_is_one_alert_and_its_severity_never_falls(rule: Rule, stream: Any) -> None:
    severity: Severity | None = None
    resolved_ms = None
    for at_ms, step, told in play(rule, stream):
        assert told is not None
        if step is Step.FIRE:
            assert severity is None
            assert resolved_ms is None or at_ms >= resolved_ms + rule.cooldown + rule.hold
            severity = told
        elif step is Step.RISE:
            assert severity is not None
            assert told.rank > severity.rank
            severity = told
        else:
            assert severity is told
            severity, resolved_ms = None, at_ms


@given(rules, streams)
def test_in_quiet_hours_nothing_below_their_severity_fires_or_rises(
    rule: Rule, stream: Any
) -> None:
    for at_ms, step, severity in play(rule, stream):
        if step is not Step.RESOLVE and rule.quiet_hours is not None:
            assert severity is not None
            is_quiet = rule.quiet_hours.until_ms(at_ms) is not None
            assert not is_quiet or severity.rank >= rule.quiet_hours.below.rank


@given(rules, streams, st.frozensets(st.integers(0, 39), max_size=10))
def test_a_restart_at_any_moment_changes_nothing(
    rule: Rule, stream: Any, restarts: frozenset[int]
) -> None:
    assert play(rule, stream, restarts) == play(rule, stream)


@given(rules, streams)
def test_an_alert_ends_as_soon_as_it_has_been_quiet_long_enough_quiet_hours_or_not(
    rule: Rule, stream: Any
) -> None:
    life = Life(rule).play(stream, frozenset())
    life.surprise = 0.5
    life.look()
    quiet_ms = life.now_ms if life.state.quiet_since_ms is None else life.state.quiet_since_ms
    is_firing = life.state.phase is Phase.FIRING
    before = len(life.told)
    life.wait_until(life.now_ms + 30 * HOUR_MS)
    ended = [(at_ms, step) for at_ms, step, _ in life.told[before:]]
    assert ended == ([(quiet_ms + rule.resolve.hold, Step.RESOLVE)] if is_firing else [])


@given(rules, st.integers(0, 7 * 24 * 60), st.sampled_from([3.5, 4.5, 9]))
def test_what_still_holds_when_the_quiet_hours_end_fires_then(
    rule: Rule, minutes: int, surprise: float
) -> None:
    life = Life(rule, now_ms=START_MS + minutes * MINUTE_MS, surprise=surprise)
    began_ms, severity = life.now_ms, rule.severity_at(surprise)
    life.look()
    life.wait_until(began_ms + 96 * HOUR_MS)
    expected_ms = began_ms + rule.hold
    while severity is not None and (until := rule.silent_until_ms(severity, expected_ms)):
        expected_ms = until
    assert life.told == ([] if severity is None else [(expected_ms, Step.FIRE, severity)])


@given(rules, st.sampled_from([9, 12]))
def test_a_rise_that_quiet_hours_keep_back_is_told_when_they_end(rule: Rule, high: float) -> None:
    life = Life(rule, surprise=4.5)
    life.look()
    life.wait_until(START_MS + 96 * HOUR_MS)
    (_, _, fired_as), rises_at_ms = life.told[0], life.now_ms
    assert fired_as is not None
    life.surprise = high
    life.look()
    life.wait_until(rises_at_ms + 96 * HOUR_MS)
    rises = [(at_ms, severity) for at_ms, step, severity in life.told if step is Step.RISE]
    if fired_as is Severity.CRITICAL or rule.severity == {Severity.WARNING: 4}:
        assert rises == []
        return
    (at_ms, severity), *_ = rises
    assert severity is not None
    while until := rule.silent_until_ms(severity, rises_at_ms):
        rises_at_ms = until
    assert at_ms == rises_at_ms
