"""How one subject is watched: a mention or a moment in, alerts and trend points out."""

from __future__ import annotations

from collections.abc import Iterable

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
)
from undertone.alerting.rules import Rule, RuleSet
from undertone.durations import format_duration
from undertone.records import (
    Alert,
    AlertState,
    Evidence,
    Factors,
    Mention,
    TrendPoint,
)
from undertone.settings import PANE_MS
from undertone.trends.baseline import Baseline, Expectation, expect
from undertone.trends.factors import explain
from undertone.trends.panes import Counts, pane_of
from undertone.trends.points import trend_point
from undertone.trends.windows import HOUR_MS, NEVER_MS, SlidingWindow
from undertone.watch.conditions import read
from undertone.watch.counting import count
from undertone.watch.state import HEAD, SubjectState
from undertone.watch.voices import Heard, heard, without_excess
from undertone.watchlist.subjects import Prior
from undertone.watchlist.voice_weights import VoiceWeights


class _WatchedRule:
    """A rule with what every decision asks of it, looked up once."""

    __slots__ = ("conditions", "kinds", "longest", "name", "rule", "watches_negative")

    def __init__(self, rule: Rule, windows: dict[int, SlidingWindow]) -> None:
        self.rule = rule
        self.name = rule.name
        self.kinds = tuple(kind.value for kind in rule.kinds) if rule.kinds else None
        self.longest = windows[rule.longest_window_ms]
        self.conditions = [(when, windows[when.window]) for when in rule.when]
        self.watches_negative = rule.watches_negative

    def has_too_few(self) -> bool:
        """Whether its longest window holds too few stories for it to fire."""
        return self.longest.sums(self.kinds).stories < self.rule.min_stories


class SubjectWatch:
    """Applies mentions and moments, in order of time, to the state of one subject.

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
        trend_windows_ms: tuple[int, ...],
        allowed_lateness_ms: int,
    ) -> None:
        self.state = state
        self.name = name
        self.labels = labels
        self.prior = prior
        self.weights = weights
        self.scheduled_ms: int | None = None
        self.rules = rules.for_subject(state.subject)
        self.rules_version = rules_version
        self.lateness_ms = allowed_lateness_ms
        self.keep_ms = max(state.windows) + allowed_lateness_ms + HOUR_MS
        # Each window with its name; only those with one are written.
        self._windows = [
            (window, format_duration(length) if length in trend_windows_ms else None)
            for length, window in state.windows.items()
        ]
        self._rules = [_WatchedRule(rule, state.windows) for rule in self.rules]
        self._rules_at_mentions = [each for each in self._rules if each.rule.decides_at_mentions]
        self._waits_for_pane_ends = len(self._rules_at_mentions) < len(self._rules)
        watched = {rule.name for rule in self.rules}
        state.rules = {name: rule for name, rule in state.rules.items() if name in watched}
        # What is expected, by kinds and window, until a baseline learns.
        self._expected: dict[tuple[tuple[str, ...], int], Expectation] = {}
        self._expected_as_of_ms = -1
        self._kinds = tuple(sorted(state.baselines))

    def next_timer_ms(self) -> int | None:
        """The next moment at which time alone may decide something; none where nothing is open."""
        state = self.state
        now = state.now_ms
        due = NEVER_MS if state.pane_end_due_ms is None else state.pane_end_due_ms
        for window, _name in self._windows:
            if window.exit_due_ms < due:  # noqa: PLR1730 — asked at every event; min takes twice as long
                due = window.exit_due_ms
            if window.length_ms in state.changed_windows:
                step_due = now - now % window.step_ms + window.step_ms
                if step_due < due:  # noqa: PLR1730
                    due = step_due
        if state.rules:
            for rule in self.rules:
                rule_state = state.rules.get(rule.name)
                rule_due = next_due_ms(rule, rule_state) if rule_state else None
                if rule_due is not None and rule_due < due:
                    due = rule_due
        return None if due == NEVER_MS else max(due, now)

    def on_mention(self, mention: Mention) -> list[Alert | TrendPoint]:
        """Apply the next mention by arrival."""
        state = self.state
        now = state.now_ms = max(state.now_ms, mention.ingested_at)
        published = min(mention.published_at, mention.ingested_at)
        if mention.ingested_at - published > self.lateness_ms:
            state.late += 1
            return []
        self._learn(now)
        kind = mention.kind.value
        if kind not in state.baselines:
            state.baselines[kind] = Baseline(at_ms=state.learnt_until_ms)
            self._kinds = tuple(sorted(state.baselines))
            self._expected_as_of_ms = -1
        pane_end = pane_of(now) + PANE_MS
        state.advance(pane_end)
        count(state, mention, pane_of(published), kind, self.weights)
        if len(state.changed_windows) < len(state.windows):
            state.changed_windows.update(state.windows)
        if self._waits_for_pane_ends and state.pane_end_due_ms is None and self._may_decide():
            state.pane_end_due_ms = pane_end
        return [*self._decide(now, self._rules_at_mentions)]

    def _may_decide(self) -> bool:
        """Whether the end of this pane can decide anything: not while every rule is idle and has
        too few stories, which can only become fewer until the next mention."""
        return bool(self.state.rules) or not all(each.has_too_few() for each in self._rules)

    def on_time(self, now: int) -> list[Alert | TrendPoint]:
        """Decide what time alone decides: pane ends, window steps, holds and resolutions."""
        state = self.state
        state.now_ms = now
        state.changed_parts.add(HEAD)
        self._learn(now)
        end = -(-now // PANE_MS) * PANE_MS
        outputs: list[Alert | TrendPoint] = []
        rules = self._rules_at(now)
        if rules:
            state.advance(end)
            outputs += self._decide(now, rules)
        for window, name in self._windows:
            if now % window.step_ms == 0:
                # The other windows catch up when they are next looked at.
                window.advance(end)
                state.changed_windows.discard(window.length_ms)
                if name is not None and window.is_changed:
                    window.is_changed = False
                    outputs += self._trend_points(window, name, now)
        if now - self.keep_ms >= state.forgotten_before_ms + HOUR_MS:
            state.forget_before(now - self.keep_ms)
        return outputs

    def _rules_at(self, now: int) -> list[_WatchedRule]:
        """The rules that time alone may move: all at the end of a pane, else those open."""
        state = self.state
        if state.pane_end_due_ms is not None and state.pane_end_due_ms <= now:
            state.pane_end_due_ms = None
            return self._rules
        # Without a new mention an idle rule has no reason to begin.
        return [each for each in self._rules if each.name in state.rules] if state.rules else []

    def _learn(self, now: int) -> None:
        state = self.state
        horizon = pane_of(now - self.lateness_ms)
        if not state.learnt_until_ms:
            state.learnt_until_ms = horizon
        if horizon > state.learnt_until_ms:
            state.learn_until(horizon)

    def _decide(self, now: int, rules: Iterable[_WatchedRule]) -> list[Alert]:
        alerts = []
        for watched in rules:
            state = self.state.rules.get(watched.name)
            if state is None and watched.has_too_few():
                continue
            standing = self._stand(watched, only_if_holds=state is None)
            if standing is None:
                continue
            if state is None:
                state = RuleState()
            tipping = self.state.last_negative if watched.watches_negative else self.state.last
            was_open = state.is_open
            step = decide(watched.rule, state, standing, tipping, now)
            if state.phase is Phase.IDLE:
                self.state.rules.pop(watched.name, None)
            else:
                self.state.rules[watched.name] = state
            if state.is_open is not was_open:
                self._exclude(state, now)
            if step is not None:
                alerts.append(self._tell(watched, state, standing, step, now))
        return alerts

    def _stand(self, watched: _WatchedRule, *, only_if_holds: bool) -> Standing | None:
        """How a rule's conditions stand; None at the first that does not hold, if so asked."""
        rule, kinds = watched.rule, self._kinds_of(watched)
        readings, holds, quiet, fewest = [], True, True, None
        for when, window in watched.conditions:
            counts = window.sums(kinds)
            reading = read(when, counts, self._expect(kinds, when.window))
            if only_if_holds and not reading.holds:
                return None
            if rule.min_sources > 1:
                counts = self._counts(watched, window)
                reading = read(when, counts, self._expect(kinds, when.window))
            readings.append(reading)
            holds = holds and reading.holds
            quiet = quiet and reading.is_quiet(rule.resolve.surprise_below)
            relevant = counts.negative if when.signal == "negative_volume" else counts.stories
            fewest = relevant if fewest is None else min(fewest, relevant)
        return Standing(
            holds=holds,
            quiet=quiet,
            conditions=tuple(reading.told() for reading in readings),
            stories=fewest or 0,
            sources=self._heard(watched, watched.longest).voices if rule.min_sources > 1 else 1,
        )

    def _kinds_of(self, watched: _WatchedRule) -> tuple[str, ...]:
        """The kinds that a rule counts: its own, else all that were heard of the subject."""
        return self._kinds if watched.kinds is None else watched.kinds

    def _expect(self, kinds: tuple[str, ...], window_ms: int) -> Expectation:
        if self._expected_as_of_ms != self.state.learnt_until_ms:
            self._expected_as_of_ms = self.state.learnt_until_ms
            self._expected.clear()
        expected = self._expected.get((kinds, window_ms))
        if expected is None:
            baselines = self.state.baselines
            known = [baselines[kind] for kind in kinds if kind in baselines]
            expected = expect(known or [Baseline(at_ms=0)], self.prior, window_ms)
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
            alert = revise(state.alert, step, standing, now, state.severity)
            if step is Step.RISE:
                alert = alert.model_copy(
                    update={
                        "evidence": self._proof(watched, state.tipping),
                        "factors": self._factors(watched, standing),
                    }
                )
        state.alert = alert
        if step is Step.RESOLVE:
            state.alert = state.tipping = None
        return alert

    def _exclude(self, changed: RuleState, now: int) -> None:
        """Keep what is inside an alert out of the baselines: one has opened, or ended."""
        if changed.is_open:
            assert changed.tipping is not None
            self.state.exclude_from(pane_of(changed.tipping.ingested_at))
        elif not any(other.is_open for other in self.state.rules.values()):
            self.state.exclude_until(now)

    def _fire(self, watched: _WatchedRule, state: RuleState, standing: Standing, now: int) -> Alert:
        assert state.tipping is not None
        assert state.severity is not None
        rule, tipping = watched.rule, state.tipping
        strongest = standing.strongest
        started_at = tipping.ingested_at
        return Alert(
            id=alert_id(rule.name, self.state.subject, started_at),
            rule=rule.name,
            rules_version=self.rules_version,
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

    def _trend_points(self, window: SlidingWindow, name: str, now: int) -> list[TrendPoint]:
        """The points of one window, of the kinds whose numbers are not as they were written."""
        state = self.state
        written = state.written.setdefault(window.length_ms, {})
        points = []
        kinds = window.kinds()
        for kind in kinds if written.keys() == set(kinds) else sorted({*kinds, *written}):
            counts = window.of(kind)
            numbers = counts.to_list()
            if numbers == written.get(kind):
                continue
            if counts.mentions:
                written[kind] = numbers
            else:
                del written[kind]
            usual = expect([state.baselines[kind]], self.prior, window.length_ms)
            points.append(
                trend_point(
                    state.subject, kind, name, now, counts=counts, usual=usual, late=state.late
                )
            )
        return points
