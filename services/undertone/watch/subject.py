"""How one subject is watched: a mention or a moment in, alerts and trend points out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from undertone.alerting.evidence import TippingStory, choose
from undertone.alerting.lifecycle import (
    Phase,
    RuleState,
    Standing,
    Step,
    alert_id,
    decide,
    next_due_ms,
    revise,
    withdraw,
)
from undertone.alerting.rules import COUNT_SIGNALS, Rule, RuleSet, When
from undertone.durations import format_duration
from undertone.records import (
    Alert,
    AlertState,
    Evidence,
    Factors,
    Mention,
)
from undertone.settings import PANE_MS
from undertone.trends.baseline import Baseline, Expectation, expect
from undertone.trends.factors import explain
from undertone.trends.panes import Counts, pane_of, unpack
from undertone.trends.points import TrendReading
from undertone.trends.stories import STORY_HOURS
from undertone.trends.windows import HOUR_MS, NEVER_MS, SlidingWindow
from undertone.watch.conditions import Reading, read
from undertone.watch.counting import count
from undertone.watch.state import HEAD, SubjectState
from undertone.watch.voices import Heard, heard, without_excess
from undertone.watchlist.subjects import Prior
from undertone.watchlist.voice_weights import VoiceWeights

Kinds = tuple[str, ...]
# The signals of one moment, by signal, window and kinds.
Readings = dict[tuple[str, int, Kinds], Reading]


class _WatchedRule:
    """A rule with what every decision asks of it, looked up once."""

    __slots__ = (
        "conditions",
        "count_conditions",
        "decides_at_mentions",
        "kinds",
        "longest",
        "min_stories",
        "name",
        "rule",
        "watches_negative",
        "windows",
    )

    def __init__(self, rule: Rule, windows: dict[int, SlidingWindow]) -> None:
        self.rule = rule
        self.name = rule.name
        self.kinds = tuple(kind.value for kind in rule.kinds) if rule.kinds else None
        self.min_stories = rule.min_stories
        self.longest = windows[rule.longest_window_ms]
        self.conditions = [(when, windows[when.window]) for when in rule.when]
        self.count_conditions = [
            each for each in self.conditions if each[0].signal in COUNT_SIGNALS
        ]
        self.windows = list({id(window): window for _when, window in self.conditions}.values())
        self.decides_at_mentions = rule.decides_at_mentions
        self.watches_negative = rule.watches_negative

    def has_too_few(self) -> bool:
        """Whether its longest window holds too few stories for it to fire."""
        return self.longest.stories(self.kinds) < self.min_stories

    def due_ms(self, state: RuleState) -> int:
        """When time alone may change where it stands: by its own clock, or as panes leave."""
        due = next_due_ms(self.rule, state)
        due = NEVER_MS if due is None else due
        if state.phase is Phase.COOLING:
            return due
        for window in self.windows:
            due = min(due, window.exit_due_ms)
        return due


class SubjectWatch:
    """Applies mentions and moments, in order of time, to the state of one subject.

    What is decided follows from the mentions and the rule alone: never from other rules, from the
    windows that are written, or from when somebody looked. So a sweep may run many rules at once.

    `scheduled_ms` belongs to the caller: the timer for which it will call `on_time`.
    """

    def __init__(
        self,
        state: SubjectState,
        *,
        name: str,
        labels: dict[str, str],
        prior: Prior,
        weights: VoiceWeights | None,
        rules: RuleSet,
        rules_version: str,
        watchlist_version: str | None,
        trend_windows_ms: tuple[int, ...],
        allowed_lateness_ms: int,
    ) -> None:
        self.state = state
        self.name = name
        self.labels = labels
        self.prior = prior
        self.weights = weights
        self.scheduled_ms: int | None = None
        self.rules_version, self.watchlist_version = rules_version, watchlist_version
        self.lateness_ms = allowed_lateness_ms
        longest_ms = max(STORY_HOURS * HOUR_MS, *state.windows)
        self.keep_ms = longest_ms + allowed_lateness_ms + HOUR_MS
        # The windows that are written as trends, each with its name.
        self._trends = [
            (window, format_duration(length))
            for length, window in state.windows.items()
            if length in trend_windows_ms
        ]
        applying = rules.for_subject(state.subject)
        self._rules = [_WatchedRule(rule, state.windows) for rule in applying]
        self._rules_at_mentions = [each for each in self._rules if each.decides_at_mentions]
        # The windows that rules look at; the others may be left behind until they are written.
        needed = {window.length_ms for watched in self._rules for window in watched.windows}
        self._rule_windows = [state.windows[length] for length in sorted(needed)]
        # Alerts that fire by rules which watch this subject no more: to be ended by the caller.
        self.withdrawn = self._forget_rules({rule.name for rule in applying})
        # What is expected, by kinds and window, in the hour since 1970 that it was computed for.
        self._expected: dict[tuple[Kinds, int], Expectation] = {}
        self._hour = -1
        self._kinds: Kinds = tuple(sorted(state.baselines))

    def _forget_rules(self, watched: set[str]) -> list[Alert]:
        """Drop where all other rules stand; returns their firing alerts, by rule."""
        state = self.state
        gone = [rule for name, rule in sorted(state.rules.items()) if name not in watched]
        state.rules = {name: rule for name, rule in state.rules.items() if name in watched}
        return [rule.alert for rule in gone if rule.phase is Phase.FIRING and rule.alert]

    @property
    def _versions(self) -> dict[str, object]:
        return {
            "rules_version": self.rules_version,
            "watchlist_version": self.watchlist_version,
        }

    def end_withdrawn(self) -> list[Alert]:
        """The last revisions of the alerts whose rule is gone."""
        alerts = [
            withdraw(alert, self.state.now_ms).model_copy(update=self._versions)
            for alert in self.withdrawn
        ]
        self.withdrawn = []
        self.state.changed_parts.add(HEAD)
        return alerts

    def next_timer_ms(self) -> int | None:
        """The next moment at which time alone may decide something; none where nothing is open."""
        state = self.state
        due = NEVER_MS if state.pane_end_due_ms is None else state.pane_end_due_ms
        # ruff: noqa: PLR1730 (comparisons: asked at every event, and min takes twice as long)
        for window, _name in self._trends:
            if window.step_due_ms < due:
                due = window.step_due_ms
            if window.exit_due_ms < due:
                due = window.exit_due_ms
        if state.rules:
            for watched in self._rules:
                rule_state = state.rules.get(watched.name)
                if rule_state is not None:
                    due = min(due, watched.due_ms(rule_state))
        return None if due == NEVER_MS else max(due, state.now_ms)

    def on_mention(self, mention: Mention) -> list[Alert]:
        """Apply the next mention by arrival."""
        state = self.state
        now = state.now_ms = max(state.now_ms, mention.ingested_at)
        published = min(mention.published_at, mention.ingested_at)
        if mention.ingested_at - published > self.lateness_ms:
            state.late += 1
            return []
        if now // HOUR_MS != self._hour:
            self._begin_hour(now)
        kind = mention.kind.value
        if kind not in state.baselines:
            state.baselines[kind] = Baseline(at_ms=state.learnt_until_ms)
            self._kinds = tuple(sorted(state.baselines))
            self._expected.clear()
        pane_end = pane_of(now) + PANE_MS
        pane = pane_of(published)
        # Only what was published before may belong into windows that nobody has looked at.
        for window in self._rule_windows if pane + PANE_MS == pane_end else state.windows.values():
            window.advance(pane_end)
        count(state, mention, pane, kind, self.weights)
        for window, _name in self._trends:
            window.change_at(now)
        readings: Readings = {}
        alerts = self._decide(now, self._rules_at_mentions, readings)
        for watched in self._rules:
            if self._waits_for_pane_end(watched, readings):
                state.pane_end_due_ms = pane_end
                state.pane_end_rules.add(watched.name)
        return alerts

    def _waits_for_pane_end(self, watched: _WatchedRule, readings: Readings) -> bool:
        """Whether the end of this pane can move a rule: one that is open, or one that needs it and
        whose counts suffice, as they can only become fewer until the next mention."""
        if watched.name in self.state.rules:
            return True
        if watched.decides_at_mentions or watched.has_too_few():
            return False
        return self._hold(watched.count_conditions, self._kinds_of(watched), readings)

    def on_time(self, now: int) -> list[Alert | TrendReading]:
        """Decide what time alone decides: pane ends, window steps, holds and resolutions."""
        state = self.state
        state.now_ms = now
        state.changed_parts.add(HEAD)
        if now // HOUR_MS != self._hour:
            self._begin_hour(now)
        end = -(-now // PANE_MS) * PANE_MS
        outputs: list[Alert | TrendReading] = []
        rules = self._rules_at(now) if state.rules or state.pane_end_due_ms is not None else ()
        if rules:
            for window in self._rule_windows:
                window.advance(end)
            outputs += self._decide(now, rules, {})
        for trend in self._trends:
            window = trend[0]
            if window.step_due_ms <= now or window.exit_due_ms <= now:
                # The other windows catch up when they are next looked at.
                window.advance(end)
                window.step_due_ms = NEVER_MS
                self._write(*trend, now, outputs)
        return outputs

    def _rules_at(self, now: int) -> list[_WatchedRule]:
        """The rules that this moment may move: those that wait for a pane's end, and those due."""
        state = self.state
        waiting: set[str] = set()
        if state.pane_end_due_ms is not None and state.pane_end_due_ms <= now:
            waiting, state.pane_end_rules = state.pane_end_rules, set()
            state.pane_end_due_ms = None
        # Without a new mention an idle rule has no reason to begin.
        return [
            each
            for each in self._rules
            if each.name in waiting
            or (each.name in state.rules and each.due_ms(state.rules[each.name]) <= now)
        ]

    def _begin_hour(self, now: int) -> None:
        """Learn the hours that can change no more, and forget what nobody needs."""
        state = self.state
        self._hour = now // HOUR_MS
        horizon = (self._hour - -(-self.lateness_ms // HOUR_MS)) * HOUR_MS
        if not state.learnt_until_ms:
            state.learnt_until_ms = horizon
        if horizon > state.learnt_until_ms:
            state.learn_until(horizon)
        state.forget_before(now - self.keep_ms, self._hour - STORY_HOURS)
        self._expected.clear()

    def _decide(self, now: int, rules: Iterable[_WatchedRule], readings: Readings) -> list[Alert]:
        alerts: list[Alert] = []
        states = self.state.rules
        for watched in rules:
            state = states.get(watched.name)
            if state is None:
                kinds = self._kinds_of(watched)
                if watched.has_too_few() or not self._hold(watched.conditions, kinds, readings):
                    continue
                state = RuleState()
            standing = self._stand(watched, readings)
            step = decide(watched.rule, state, standing, self._tipping(watched), now)
            if state.phase is Phase.IDLE:
                states.pop(watched.name, None)
            else:
                states[watched.name] = state
            if step is not None:
                alerts.append(self._tell(watched, state, standing, step, now))
        return alerts

    def _read(self, when: When, window: SlidingWindow, kinds: Kinds, readings: Readings) -> Reading:
        """A condition's signal at this moment, computed once for all rules that ask for it."""
        key = (when.signal, when.window, kinds)
        reading = readings.get(key)
        if reading is None:
            reading = read(when.signal, window.sums(kinds), self._expect(kinds, when.window))
            readings[key] = reading
        return reading

    def _hold(
        self, conditions: Sequence[tuple[When, SlidingWindow]], kinds: Kinds, readings: Readings
    ) -> bool:
        for when, window in conditions:
            reading = self._read(when, window, kinds, readings)
            if not when.holds(reading.observed, reading.surprise):
                return False
        return True

    def _stand(self, watched: _WatchedRule, readings: Readings) -> Standing:
        """How a rule's conditions stand."""
        rule, kinds = watched.rule, self._kinds_of(watched)
        holds, quiet, fewest, told = True, True, None, []
        for when, window in watched.conditions:
            if rule.min_sources > 1:
                counts = self._counts(watched, window)
                reading = read(when.signal, counts, self._expect(kinds, when.window))
            else:
                reading = self._read(when, window, kinds, readings)
            told.append(reading.told(when))
            holds = holds and when.holds(reading.observed, reading.surprise)
            quiet = quiet and reading.is_quiet(when, rule.resolve.surprise_below)
            counts = reading.counts
            relevant = counts.negative if when.signal == "negative_volume" else counts.stories
            fewest = relevant if fewest is None else min(fewest, relevant)
        return Standing(
            holds=holds,
            quiet=quiet,
            conditions=tuple(told),
            stories=fewest or 0,
            sources=self._heard(watched, watched.longest).voices if rule.min_sources > 1 else 1,
        )

    def _kinds_of(self, watched: _WatchedRule) -> tuple[str, ...]:
        """The kinds that a rule counts: its own, else all that were heard of the subject."""
        return self._kinds if watched.kinds is None else watched.kinds

    def _expect(self, kinds: Kinds, window_ms: int) -> Expectation:
        expected = self._expected.get((kinds, window_ms))
        if expected is None:
            state = self.state
            heard = [state.baselines[kind] for kind in kinds if kind in state.baselines]
            end_ms = (self._hour + 1) * HOUR_MS
            expected = expect(
                heard or [Baseline(at_ms=state.learnt_until_ms)], self.prior, window_ms, end_ms
            )
            self._expected[kinds, window_ms] = expected
        return expected

    def _counts(self, watched: _WatchedRule, window: SlidingWindow) -> Counts:
        """What a rule counts in a window: to be read, not kept or changed."""
        counts = window.sums(self._kinds_of(watched))
        if watched.rule.min_sources == 1:
            return counts
        others = self._heard(watched, window).told_by_others
        return without_excess(counts, others, only_negative=watched.watches_negative)

    def _heard(self, watched: _WatchedRule, window: SlidingWindow) -> Heard:
        start = window.start_ms
        hours = (item for item in self.state.hours.items() if (item[0] + 1) * HOUR_MS > start)
        kinds = self._kinds_of(watched)
        return heard(hours, start, kinds, only_negative=watched.watches_negative)

    def _tell(
        self, watched: _WatchedRule, state: RuleState, standing: Standing, step: Step, now: int
    ) -> Alert:
        if step is Step.FIRE:
            alert = self._fire(watched, state, standing, now)
        else:
            assert state.alert is not None
            assert state.tipping is not None
            changes = self._versions
            if step is Step.RISE:
                changes["evidence"] = self._proof(watched, state.tipping)
                changes["factors"] = self._factors(watched, standing)
            alert = revise(state.alert, step, standing, now, state.severity)
            alert = alert.model_copy(update=changes)
        state.alert = alert
        if step is Step.RESOLVE:
            state.alert = state.tipping = None
        return alert

    def _fire(self, watched: _WatchedRule, state: RuleState, standing: Standing, now: int) -> Alert:
        assert state.tipping is not None
        assert state.severity is not None
        rule, tipping = watched.rule, state.tipping
        strongest = standing.strongest
        started_at = tipping.ingested_at
        if started_at <= self.state.started.get(rule.name, -1):
            started_at = now  # what tips it now is time, which took other stories out of the window
        self.state.started[rule.name] = started_at
        return Alert(
            id=alert_id(rule.name, self.state.subject, started_at),
            rule=rule.name,
            rules_version=self.rules_version,
            watchlist_version=self.watchlist_version,
            subject=self.state.subject,
            name=self.name,
            labels=self.labels,
            severity=state.severity,
            state=AlertState.FIRING,
            revision=1,
            started_at=started_at,
            detected_at=now,
            window=strongest.window,
            signal=strongest.signal,
            observed=strongest.observed,
            expected=strongest.expected,
            surprise=strongest.surprise,
            conditions=standing.conditions,
            factors=self._factors(watched, standing),
            tipping=tipping.tipping,
            evidence=self._proof(watched, tipping),
            model=self.state.last_model,
        )

    def _tipping(self, watched: _WatchedRule) -> TippingStory | None:
        """The story that tips a rule now: of one on negative ones the last negative, unless that
        has left the rule's window or has started an alert before."""
        state = self.state
        story = state.last_negative if watched.watches_negative else state.last
        if story is not None and story.ingested_at <= max(
            state.started.get(watched.name, -1), watched.longest.start_ms
        ):
            return state.last
        return story

    def _factors(self, watched: _WatchedRule, standing: Standing) -> Factors:
        when, window = watched.conditions[standing.conditions.index(standing.strongest)]
        kinds = self._kinds_of(watched)
        counts = self._counts(watched, window)
        return explain(when.signal, counts, self._expect(kinds, when.window))

    def _proof(self, watched: _WatchedRule, tipping: TippingStory) -> tuple[Evidence, ...]:
        start = watched.longest.start_ms
        candidates = [
            item
            for number, hour in sorted(self.state.hours.items())
            if (number + 1) * HOUR_MS > start
            for item in hour.candidates
            if item[1].published_at >= start
        ]
        return choose(candidates, tipping.evidence)

    def _write(
        self, window: SlidingWindow, name: str, now: int, outputs: list[Alert | TrendReading]
    ) -> None:
        """Put out one window, of the kinds whose numbers are not as they were written."""
        state = self.state
        written = state.written.setdefault(window.length_ms, {})
        sums = window.by_kind
        kinds = sums if written.keys() == sums.keys() else {*sums, *written}
        for kind in kinds if len(kinds) < 2 else sorted(kinds):
            packed = sums.get(kind, 0)
            if packed == written.get(kind):
                continue
            if packed:
                written[kind] = packed
            else:
                del written[kind]
            usual, numbers = self._expect((kind,), window.length_ms), unpack(packed)
            outputs.append(TrendReading(state.subject, kind, name, now, numbers, usual, state.late))
