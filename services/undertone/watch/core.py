"""The watcher of one mentions partition: mentions and Progress in, alerts and trend points out.

Pure: it reads no clock. Its clock is the least `complete_until` over all expected raw partitions.
A mention waits until the clock has passed its arrival and is then applied in order of arrival, so
that what is decided depends on what arrived and when, never on how scorers interleaved their
work. Alerts on story counts are decided at a mention, those on shares and means at the end of its
pane, resolution and holding also by time.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from undertone.alerting.lifecycle import Phase
from undertone.alerting.rules import RuleSet
from undertone.records import Alert, Mention, Progress
from undertone.trends.points import TrendReading
from undertone.watch.state import SubjectState
from undertone.watch.subject import SubjectWatch
from undertone.watchlist.subjects import Prior, Watchlist
from undertone.watchlist.voice_weights import VoiceWeights

if TYPE_CHECKING:
    from undertone.settings import Settings

# A timer at an instant comes before a mention that arrived at it: windows are half-open.
_TIMER, _MENTION = 0, 1


@dataclass(frozen=True)
class WatchedSubject:
    """What alerts need to know of a subject on the watchlist."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    prior: Prior = field(default_factory=Prior)
    weights: VoiceWeights | None = None


def watched_subjects(watchlist: Watchlist) -> dict[str, WatchedSubject]:
    """What the watcher needs of each subject on a watchlist, by id."""
    weights = VoiceWeights(watchlist.weights) if watchlist.weights else None
    return {
        subject.id: WatchedSubject(
            subject.name, dict(subject.labels), watchlist.prior_of(subject), weights
        )
        for subject in watchlist.subjects
    }


@dataclass(frozen=True)
class WatchConfig:
    """Everything that decides beside the log itself."""

    rules: RuleSet
    subjects: Mapping[str, WatchedSubject]
    windows_ms: tuple[int, ...] = (300_000, 3_600_000, 86_400_000)
    allowed_lateness_ms: int = 3_600_000
    watchlist_version: str | None = None

    @classmethod
    def of(cls, settings: Settings, rules: RuleSet, watchlist: Watchlist) -> WatchConfig:
        """What settings, rules and watchlist say together."""
        return cls(
            rules,
            watched_subjects(watchlist),
            settings.windows,
            settings.allowed_lateness,
            watchlist.version,
        )

    @property
    def all_windows_ms(self) -> tuple[int, ...]:
        """Windows that are written as trends or that a rule needs, ascending."""
        return tuple(sorted({*self.windows_ms, *self.rules.windows_ms}))


class Watch:
    """The state of all subjects of one mentions partition."""

    def __init__(self, config: WatchConfig) -> None:
        self.config = config
        self.expected: dict[str, int] = {}
        self.complete_until: dict[str, dict[int, int]] = {}
        self.clock_ms: int | None = None
        self.skipped = 0  # mentions that a scorer has written again
        self._subjects: dict[str, SubjectWatch] = {}
        self._due: list[tuple[int, int, str]] = []
        self._withdrawn: list[SubjectWatch] = []
        self._changed: set[str] = set()
        # Asked for with every new subject, and not cheap.
        self._windows_ms = config.all_windows_ms
        self._rules_version = config.rules.version

    def apply(self, record: Mention | Progress) -> list[Alert | TrendReading]:
        """Take the next record of the log and return what it decides, in order.

        Trend points come as what they are made of (`TrendReading.record` makes one).
        """
        ended = self._end_withdrawn() if self._withdrawn else []
        if isinstance(record, Progress):
            self._advance_clock(record)
        else:
            watch = self._watch(record.subject)
            if not watch.state.accept(record):
                self.skipped += 1
                return ended
            self._changed.add(record.subject)
            if watch.state.pending.first_arrival_ms() == record.ingested_at:
                self._schedule_mention(watch)
        return ended + self._run()

    def take_changes(self) -> dict[str, bytes | None]:
        """State parts changed since the last call: `subject/part` → JSON, or None to delete."""
        changes: dict[str, bytes | None] = {}
        for subject in sorted(self._changed):
            state = self._subjects[subject].state
            for name in sorted(state.changed_parts):
                changes[f"{subject}/{name}"] = state.part(name)
            state.changed_parts.clear()
        self._changed.clear()
        return changes

    def restore(
        self,
        parts: Mapping[str, bytes],
        complete_until: Mapping[str, Mapping[int, int]],
        expected: Mapping[str, int],
    ) -> None:
        """Begin from stored parts and the clock's map, as if never interrupted.

        The rules may be others than before: alerts of rules that are gone end at the next record.
        """
        by_subject: dict[str, dict[str, bytes]] = {}
        for key, value in parts.items():
            subject, _, name = key.partition("/")
            by_subject.setdefault(subject, {})[name] = value
        self.expected = dict(expected)
        self.complete_until = {
            topic: dict(partitions) for topic, partitions in complete_until.items()
        }
        self.clock_ms = self._clock()
        for subject, subject_parts in sorted(by_subject.items()):
            state = SubjectState.from_parts(subject, self._windows_ms, subject_parts)
            self._subjects[subject] = watch = self._new_watch(state)
            self._schedule_timer(watch)
            self._schedule_mention(watch)
            if watch.withdrawn:
                self._withdrawn.append(watch)

    def open_alerts(self) -> list[Alert]:
        """The last revision of each firing alert, by subject and rule."""
        alerts: list[Alert] = []
        for _subject, watch in sorted(self._subjects.items()):
            firing = [
                rule.alert
                for rule in watch.state.rules.values()
                if rule.phase is Phase.FIRING and rule.alert is not None
            ]
            alerts += sorted([*firing, *watch.withdrawn], key=lambda alert: alert.rule)
        return alerts

    def _end_withdrawn(self) -> list[Alert | TrendReading]:
        ended: list[Alert | TrendReading] = []
        for watch in self._withdrawn:
            ended += watch.end_withdrawn()
            self._changed.add(watch.state.subject)
        self._withdrawn.clear()
        return ended

    def _watch(self, subject: str) -> SubjectWatch:
        watch = self._subjects.get(subject)
        if watch is None:
            watch = self._new_watch(SubjectState(subject, self._windows_ms))
            self._subjects[subject] = watch
        return watch

    def _new_watch(self, state: SubjectState) -> SubjectWatch:
        known = self.config.subjects.get(state.subject) or WatchedSubject(state.subject)
        return SubjectWatch(
            state,
            name=known.name,
            labels=known.labels,
            prior=known.prior,
            weights=known.weights,
            rules=self.config.rules,
            rules_version=self._rules_version,
            watchlist_version=self.config.watchlist_version,
            trend_windows_ms=self.config.windows_ms,
            allowed_lateness_ms=self.config.allowed_lateness_ms,
        )

    def _advance_clock(self, progress: Progress) -> None:
        self.expected = dict(progress.expected)
        for topic, partitions in progress.complete_until.items():
            known = self.complete_until.setdefault(topic, {})
            for partition, instant_ms in partitions.items():
                known[partition] = max(instant_ms, known.get(partition, instant_ms))
        clock = self._clock()
        if clock is not None:
            self.clock_ms = max(clock, self.clock_ms or clock)

    def _clock(self) -> int | None:
        if not self.expected:
            return None
        instants: list[int] = []
        for topic, partitions in self.expected.items():
            known = self.complete_until.get(topic, {})
            for partition in range(partitions):
                if partition not in known:
                    return None
                instants.append(known[partition])
        return min(instants)

    def _schedule_timer(self, watch: SubjectWatch) -> None:
        """See to it that the subject is woken at its next timer."""
        timer = watch.next_timer_ms()
        if timer != watch.scheduled_ms:
            watch.scheduled_ms = timer
            if timer is not None:
                heapq.heappush(self._due, (timer, _TIMER, watch.state.subject))

    def _schedule_mention(self, watch: SubjectWatch) -> None:
        """See to it that the earliest mention that waits is applied."""
        arrival = watch.state.pending.first_arrival_ms()
        if arrival is not None:
            heapq.heappush(self._due, (arrival, _MENTION, watch.state.subject))

    def _run(self) -> list[Alert | TrendReading]:
        """Do all that is due at or before the clock, in order of time and subject."""
        outputs: list[Alert | TrendReading] = []
        if self.clock_ms is None:
            return outputs
        due, subjects = self._due, self._subjects
        reached = (self.clock_ms, _MENTION)  # a mention that arrived at the clock itself waits
        while due and due[0] < reached:
            instant_ms, order, subject = heapq.heappop(due)
            watch = subjects[subject]
            # An entry of the heap is overtaken where the timer has moved, or an earlier mention
            # has come, since it was put there.
            if order == _TIMER:
                if watch.scheduled_ms != instant_ms:
                    continue
                watch.scheduled_ms = None
                outputs += watch.on_time(instant_ms)
            else:
                if watch.state.pending.first_arrival_ms() != instant_ms:
                    continue
                outputs += watch.on_mention(watch.state.take_pending())
                self._schedule_mention(watch)
            self._changed.add(subject)
            self._schedule_timer(watch)
        return outputs
