"""The live core without trend points, for the points of a sweep.

Nobody looks at their windows, so time wakes a subject only while a rule of it may change by time
alone; what it would have learnt and forgotten meanwhile is caught up at the next mention. The
alerts are those of the whole core.
"""

from __future__ import annotations

from dataclasses import dataclass

from undertone.alerting.lifecycle import Phase, next_due_ms
from undertone.records import Alert, Mention, TrendPoint
from undertone.replay.run import ReplayWatch
from undertone.settings import PANE_MS
from undertone.trends.panes import pane_of
from undertone.trends.windows import HOUR_MS
from undertone.watch.core import WatchConfig
from undertone.watch.state import SubjectState
from undertone.watch.subject import SubjectWatch


@dataclass(frozen=True)
class QuietConfig(WatchConfig):
    """As a replay's, with the same windows, of which none is written."""

    other_windows_ms: tuple[int, ...] = ()

    @property
    def all_windows_ms(self) -> tuple[int, ...]:
        return tuple(sorted({*self.other_windows_ms, *self.rules.windows_ms}))


class QuietSubject(SubjectWatch):
    """A subject that time wakes only while a rule of it may change by time alone."""

    _heard_ms = 0

    def next_timer_ms(self) -> int | None:
        state = self.state
        dues = [] if state.pane_end_due_ms is None else [state.pane_end_due_ms]
        for rule in self.rules:
            rule_state = state.rules.get(rule.name)
            if rule_state is None:
                continue
            if rule_state.phase is not Phase.COOLING:
                return super().next_timer_ms()
            due = next_due_ms(rule, rule_state)
            if due is not None:
                dues.append(due)
        return max(min(dues), state.now_ms) if dues else None

    def on_mention(self, mention: Mention) -> list[Alert | TrendPoint]:
        self._forget(mention.ingested_at)
        self._heard_ms = mention.ingested_at
        return super().on_mention(mention)

    def on_time(self, now: int) -> list[Alert | TrendPoint]:
        state = self.state
        for length in list(state.changed_windows):
            step_ms = state.windows[length].step_ms
            if (self._heard_ms // step_ms + 1) * step_ms < now:
                state.changed_windows.discard(length)
        return super().on_time(now)

    def _forget(self, now: int) -> None:
        """Forget, at a mention, what it would have forgotten when time last woke it."""
        state = self.state
        oldest = min(state.hours, default=None)
        if oldest is None or oldest >= (now - self.keep_ms) // HOUR_MS:
            return
        # Baselines and windows catch up before the panes that they need are forgotten.
        self._learn(now)
        state.advance(pane_of(now) + PANE_MS)
        state.forget_before(self._last_woken_ms(now, oldest * HOUR_MS) - self.keep_ms)

    def _last_woken_ms(self, now: int, oldest_ms: int) -> int:
        """When time would last have woken it: at a window's step, or at a pane's leaving one."""
        woken = 0
        for window in self.state.windows.values():
            step_ms = window.step_ms
            after_mention = (self._heard_ms // step_ms + 1) * step_ms
            if after_mention <= now:
                woken = max(woken, after_mention)
            left = now // step_ms * step_ms - window.length_ms - PANE_MS
            for pane, _kinds in self.state.panes.between(oldest_ms, left + 1):
                leaves = pane + window.length_ms + PANE_MS
                woken = max(woken, -(-leaves // step_ms) * step_ms)
        return woken


class QuietWatch(ReplayWatch):
    """A watcher of such subjects."""

    def _new_watch(self, state: SubjectState) -> SubjectWatch:
        watch = super()._new_watch(state)
        watch.__class__ = QuietSubject
        return watch
