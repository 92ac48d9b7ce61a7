"""How one subject is watched: a mention or a moment in, alerts and trend points out."""

from __future__ import annotations

from collections.abc import Iterable

from undertone.alerting.evidence import EVIDENCE_LIMIT, choose, weight
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
from undertone.alerting.rules import Rule, RuleSet, When
from undertone.durations import format_duration
from undertone.records import (
    Alert,
    AlertState,
    Condition,
    Evidence,
    Factors,
    Mention,
    MentionStatus,
    Tipping,
    TrendPoint,
)
from undertone.settings import PANE_MS
from undertone.trends.baseline import Baseline, Expectation, expect
from undertone.trends.factors import explain
from undertone.trends.panes import Counts, pane_of
from undertone.trends.stories import STORIES_PER_AUTHOR_HOUR
from undertone.trends.windows import HOUR_MS
from undertone.watch.state import HEAD, SubjectState
from undertone.watchlist.subjects import Prior

_DIGITS = 3


class SubjectWatch:
    """Applies mentions and moments, in order of time, to the state of one subject."""

    def __init__(
        self,
        state: SubjectState,
        *,
        name: str,
        labels: dict[str, str],
        prior: Prior,
        rules: RuleSet,
        trend_windows_ms: tuple[int, ...],
        allowed_lateness_ms: int,
    ) -> None:
        self.state = state
        self.name = name
        self.labels = labels
        self.prior = prior
        self.rules = tuple(rule for rule in rules.rules if rule.applies_to(state.subject))
        self.rules_version = rules.version
        self.trend_windows_ms = trend_windows_ms
        self.lateness_ms = allowed_lateness_ms
        self.keep_ms = max(state.windows) + allowed_lateness_ms + HOUR_MS
        self.rules_at_mentions = [rule for rule in self.rules if rule.decides_at_mentions]
        self.waits_for_pane_ends = len(self.rules_at_mentions) < len(self.rules)
        watched = {rule.name for rule in self.rules}
        state.rules = {name: rule for name, rule in state.rules.items() if name in watched}

    def next_timer_ms(self) -> int | None:
        """The next moment at which time alone may decide something; none where nothing is open."""
        dues: list[int] = []
        state = self.state
        if state.pane_end_due_ms is not None:
            dues.append(state.pane_end_due_ms)
        for length, window in state.windows.items():
            if length in state.changed_windows:
                dues.append(_next_multiple(state.now_ms, window.step_ms))
            exit_ms = window.next_exit_ms()
            if exit_ms is not None:
                dues.append(_ceiling(exit_ms, window.step_ms))
        for rule in self.rules:
            rule_state = state.rules.get(rule.name)
            due = next_due_ms(rule, rule_state) if rule_state else None
            if due is not None:
                dues.append(due)
        return max(min(dues), state.now_ms) if dues else None

    def on_mention(self, mention: Mention) -> list[Alert | TrendPoint]:
        """Apply the next mention by arrival."""
        state = self.state
        now = state.now_ms = max(state.now_ms, mention.ingested_at)
        published = min(mention.published_at, mention.ingested_at)
        if mention.ingested_at - published > self.lateness_ms:
            state.late += 1
            return []
        self._learn(now)
        pane = pane_of(published)
        kind = mention.kind.value
        if kind not in state.baselines:
            state.baselines[kind] = Baseline(at_ms=state.learnt_until_ms)
        state.advance(pane_of(now) + PANE_MS)
        self._count(mention, pane, kind)
        state.changed_windows |= set(state.windows)
        if self.waits_for_pane_ends and state.pane_end_due_ms is None:
            state.pane_end_due_ms = pane_of(now) + PANE_MS
        return [*self._decide(now, self.rules_at_mentions)]

    def on_time(self, now: int) -> list[Alert | TrendPoint]:
        """Decide what time alone decides: pane ends, window steps, holds and resolutions."""
        state = self.state
        state.now_ms = now
        state.changed_parts.add(HEAD)
        self._learn(now)
        state.advance(_ceiling(now, PANE_MS))
        # Without a new mention an idle rule has no reason to begin: only what is open is decided.
        rules = [rule for rule in self.rules if rule.name in state.rules]
        if state.pane_end_due_ms is not None and state.pane_end_due_ms <= now:
            state.pane_end_due_ms = None
            rules = list(self.rules)
        outputs: list[Alert | TrendPoint] = [*self._decide(now, rules)]
        for length, window in state.windows.items():
            if now % window.step_ms == 0:
                state.changed_windows.discard(length)
                if length in self.trend_windows_ms:
                    outputs += self._trend_points(length, now)
        state.forget_before(now - self.keep_ms)
        return outputs

    def _learn(self, now: int) -> None:
        state = self.state
        horizon = pane_of(now - self.lateness_ms)
        if not state.learnt_until_ms:
            state.learnt_until_ms = horizon
        state.learn_until(horizon)

    def _count(self, mention: Mention, pane: int, kind: str) -> None:
        state = self.state
        tipping = Tipping(
            message_id=mention.message_id, ingested_at=mention.ingested_at, raw=mention.raw
        )
        hour = state.hour(pane)
        hour.hear(f"{mention.source}/{mention.author}" if mention.author else mention.source, pane)
        counts = Counts(mentions=1)
        fingerprint = int(mention.fingerprint, 16)
        copy = state.stories.is_copy(fingerprint)
        if not copy:
            state.stories.add(pane // HOUR_MS, fingerprint)
            if mention.author:
                spoken = hour.authors.get(mention.author, 0)
                copy = spoken >= STORIES_PER_AUTHOR_HOUR
                hour.authors[mention.author] = spoken + 1
        if mention.status is MentionStatus.UNSCORED:
            counts.unscored = 1
        if not copy:
            counts.stories = 1
            _classify(mention, counts)
            hour.offer(weight(mention.p_negative, mention.relevance), _evidence(mention))
            state.last = tipping
            if counts.negative:
                state.last_negative = tipping
        state.last_model = mention.model
        state.count(pane, kind, counts)

    def _decide(self, now: int, rules: Iterable[Rule]) -> list[Alert]:
        alerts = []
        for rule in rules:
            state = self.state.rules.get(rule.name)
            if state is None:
                state = RuleState()
            idle = state.phase is Phase.IDLE
            if idle and self._too_few(rule):
                continue
            standing = self._stand(rule, only_if_holds=idle)
            if standing is None:
                continue
            tipping = self.state.last_negative if rule.watches_negative else self.state.last
            step = decide(rule, state, standing, tipping, now)
            if state.phase is Phase.IDLE:
                self.state.rules.pop(rule.name, None)
            else:
                self.state.rules[rule.name] = state
            if step is not None:
                alerts.append(self._tell(rule, state, standing, step, now))
        return alerts

    def _too_few(self, rule: Rule) -> bool:
        counts = self.state.windows[rule.longest_window_ms].sums(rule.kinds)
        return counts.stories < rule.min_stories

    def _stand(self, rule: Rule, *, only_if_holds: bool) -> Standing | None:
        """How a rule's conditions stand; None at the first that does not hold, if so asked."""
        kinds = self._kinds(rule)
        conditions, holds, quiet, fewest = [], True, True, None
        for when in rule.when:
            counts = self.state.windows[when.window].sums(kinds)
            condition, here = _condition(when, counts, self._expect(kinds, when.window))
            if only_if_holds and not here:
                return None
            conditions.append(condition)
            holds = holds and here
            low = condition.surprise < rule.resolve.surprise_below
            quiet = quiet and (low if when.surprise is not None else not here)
            relevant = counts.negative if when.signal == "negative_volume" else counts.stories
            fewest = relevant if fewest is None else min(fewest, relevant)
        return Standing(
            holds=holds,
            quiet=quiet,
            conditions=tuple(conditions),
            stories=fewest or 0,
            sources=self._sources(rule.longest_window_ms) if rule.min_sources > 1 else 1,
        )

    def _kinds(self, rule: Rule) -> list[str]:
        """The kinds that a rule counts: its own, else all that were heard of the subject."""
        return [kind.value for kind in rule.kinds] if rule.kinds else sorted(self.state.baselines)

    def _expect(self, kinds: Iterable[str], window_ms: int) -> Expectation:
        known = [self.state.baselines[kind] for kind in kinds if kind in self.state.baselines]
        return expect(known or [Baseline(at_ms=0)], self.prior, window_ms)

    def _sources(self, window_ms: int) -> int:
        start = self.state.windows[window_ms].start_ms
        return len(
            {
                voice
                for number, hour in self.state.hours.items()
                if (number + 1) * HOUR_MS > start
                for voice, pane in hour.voices.items()
                if pane >= start
            }
        )

    def _tell(
        self, rule: Rule, state: RuleState, standing: Standing, step: Step, now: int
    ) -> Alert:
        if step is Step.FIRE:
            assert state.tipping is not None
            alert = self._fire(rule, state.tipping, standing, now)
            self.state.exclude_from(pane_of(alert.started_at))
        else:
            assert state.alert is not None
            alert = revise(state.alert, step, standing, now)
            if step is Step.RISE:
                alert = alert.model_copy(
                    update={"evidence": self._proof(rule), "factors": self._factors(rule, standing)}
                )
        state.alert = alert
        if step is Step.RESOLVE:
            state.alert = state.tipping = None
            if not any(other.phase is Phase.FIRING for other in self.state.rules.values()):
                self.state.exclude_until(now)
        return alert

    def _fire(self, rule: Rule, tipping: Tipping, standing: Standing, now: int) -> Alert:
        strongest = standing.strongest
        started_at = tipping.ingested_at
        return Alert(
            id=alert_id(rule.name, self.state.subject, started_at),
            rule=rule.name,
            rules_version=self.rules_version,
            subject=self.state.subject,
            name=self.name,
            labels=self.labels,
            severity=rule.severity,
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
            factors=self._factors(rule, standing),
            tipping=tipping,
            evidence=self._proof(rule),
            model=self.state.last_model,
        )

    def _factors(self, rule: Rule, standing: Standing) -> Factors:
        index = standing.conditions.index(standing.strongest)
        when = rule.when[index]
        kinds = self._kinds(rule)
        counts = self.state.windows[when.window].sums(kinds)
        return explain(when.signal, counts, self._expect(kinds, when.window))

    def _proof(self, rule: Rule) -> tuple[Evidence, ...]:
        start = self.state.windows[rule.longest_window_ms].start_ms
        candidates = [
            item
            for number, hour in sorted(self.state.hours.items())
            if (number + 1) * HOUR_MS > start
            for item in hour.candidates
            if item[1].published_at >= start
        ]
        return tuple(evidence for _weight, evidence in choose(candidates, EVIDENCE_LIMIT))

    def _trend_points(self, length: int, now: int) -> list[TrendPoint]:
        state = self.state
        window = state.windows[length]
        written = state.written.setdefault(length, {})
        points = []
        for kind in sorted({*window.kinds(), *written}):
            counts = window.sums([kind])
            if counts.to_list() == written.get(kind):
                continue
            if counts.mentions:
                written[kind] = counts.to_list()
            else:
                del written[kind]
            points.append(self._trend_point(kind, length, now, counts))
        return points

    def _trend_point(self, kind: str, length: int, now: int, counts: Counts) -> TrendPoint:
        usual = self._expect([kind], length)
        mean, share = counts.mean_score, counts.negative_share
        return TrendPoint(
            subject=self.state.subject,
            kind=kind,
            window=format_duration(length),
            window_end=now,
            mentions=counts.mentions,
            stories=counts.stories,
            negative=counts.negative,
            neutral=counts.neutral,
            positive=counts.positive,
            unscored=counts.unscored,
            mean_score=None if mean is None else round(mean, _DIGITS),
            negative_share=None if share is None else round(share, _DIGITS),
            expected_volume=round(usual.stories, _DIGITS),
            expected_negative_volume=round(usual.negative, _DIGITS),
            expected_negative_share=round(usual.negative_share, _DIGITS),
            expected_mean_score=round(usual.mean_score, _DIGITS),
            surprise_volume=round(usual.surprise_of_volume(counts.stories), _DIGITS),
            surprise_negative_volume=round(
                usual.surprise_of_negative_volume(counts.negative), _DIGITS
            ),
            surprise_negative_share=round(
                usual.surprise_of_negative_share(counts.negative, counts.scored), _DIGITS
            ),
            surprise_mean_score=round(usual.surprise_of_mean_score(mean, counts.scored), _DIGITS),
            late=self.state.late,
            revision=1,
        )


def _condition(when: When, counts: Counts, usual: Expectation) -> tuple[Condition, bool]:
    """How a condition stands, and whether it holds."""
    observed: float | None
    if when.signal == "negative_volume":
        observed, expected = counts.negative, usual.negative
        surprise = usual.surprise_of_negative_volume(counts.negative)
    elif when.signal == "volume":
        observed, expected = counts.stories, usual.stories
        surprise = usual.surprise_of_volume(counts.stories)
    elif when.signal == "negative_share":
        observed, expected = counts.negative_share, usual.negative_share
        surprise = usual.surprise_of_negative_share(counts.negative, counts.scored)
    else:
        observed, expected = counts.mean_score, usual.mean_score
        surprise = usual.surprise_of_mean_score(counts.mean_score, counts.scored)
    condition = Condition(
        window=format_duration(when.window),
        signal=when.signal,
        observed=round(observed or 0.0, _DIGITS),
        expected=round(expected, _DIGITS),
        surprise=round(surprise, _DIGITS),
    )
    return condition, when.holds(observed, surprise)


def _classify(mention: Mention, counts: Counts) -> None:
    """Count a story under its likeliest class; ties go to neutral, then negative."""
    if mention.p_negative is None or mention.p_neutral is None or mention.p_positive is None:
        return
    top = max(mention.p_negative, mention.p_neutral, mention.p_positive)
    if mention.p_neutral == top:
        counts.neutral = 1
    elif mention.p_negative == top:
        counts.negative = 1
    else:
        counts.positive = 1
    millis = round(1000 * (mention.p_positive - mention.p_negative))
    counts.score_millis = millis
    counts.score_square_millis = millis * millis // 1000


def _evidence(mention: Mention) -> Evidence:
    return Evidence(
        message_id=mention.message_id,
        excerpt=mention.excerpt,
        url=mention.url,
        source=mention.source,
        published_at=mention.published_at,
        p_negative=mention.p_negative,
        raw=mention.raw,
    )


def _ceiling(instant_ms: int, step_ms: int) -> int:
    return -(-instant_ms // step_ms) * step_ms


def _next_multiple(instant_ms: int, step_ms: int) -> int:
    return (instant_ms // step_ms + 1) * step_ms
