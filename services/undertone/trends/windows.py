"""Sliding windows as running sums of panes: the cost of a mention does not grow with the window."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

from undertone.settings import PANE_MS
from undertone.trends.panes import Counts, pane_of

HOUR_MS = 3_600_000
# Later than any instant.
NEVER_MS = 1 << 62


def step_of(window_ms: int) -> int:
    """How often a window is written: the lesser of a fifth of it and an hour, in whole panes."""
    return max(PANE_MS, pane_of(min(window_ms // 5, HOUR_MS)))


class PaneSeries:
    """The panes of one subject, by time and kind, oldest first."""

    __slots__ = ("_order", "_panes")

    def __init__(self) -> None:
        self._panes: dict[int, dict[str, Counts]] = {}
        self._order: list[int] = []

    def add(self, pane: int, kind: str, counts: Counts) -> None:
        """Add counts to one pane."""
        kinds = self._panes.get(pane)
        if kinds is None:
            kinds = self._panes[pane] = {}
            insort(self._order, pane)
        _add(kinds, kind, counts)

    def between(self, start: int, end: int) -> Sequence[tuple[int, dict[str, Counts]]]:
        """Panes that start in `[start, end)`, oldest first."""
        order = self._order
        low = bisect_left(order, start)
        if low == len(order) or order[low] >= end:
            return ()
        return [(pane, self._panes[pane]) for pane in order[low : bisect_left(order, end, low)]]

    def first_from(self, start: int) -> int | None:
        """The first pane that starts at or after `start`."""
        index = bisect_left(self._order, start)
        return self._order[index] if index < len(self._order) else None

    def reaches(self, start: int) -> bool:
        """Whether there is a pane that starts at or after `start`."""
        return bool(self._order) and self._order[-1] >= start

    def drop_before(self, start: int) -> None:
        """Forget panes that start before `start`."""
        index = bisect_left(self._order, start)
        for pane in self._order[:index]:
            del self._panes[pane]
        del self._order[:index]


class SlidingWindow:
    """The sums over `[end − length, end)` of a PaneSeries, per kind, as `end` moves forward.

    `exit_due_ms` is the first of its steps at which a pane has left it, and `is_changed` whether
    its sums may have changed since somebody set that to False: so that what is asked at every
    event, "does anything move?", costs a comparison.
    """

    __slots__ = (
        "_oldest",
        "_panes",
        "_sums",
        "end_ms",
        "exit_due_ms",
        "is_changed",
        "length_ms",
        "step_ms",
    )

    def __init__(self, length_ms: int, panes: PaneSeries, end_ms: int = 0) -> None:
        self.length_ms = length_ms
        self.step_ms = step_of(length_ms)
        self.end_ms = end_ms
        self.is_changed = True
        self._panes = panes
        self._sums: dict[str, Counts] = {}
        for _pane, kinds in panes.between(self.start_ms, end_ms):
            self._include(kinds)
        self._look_for_oldest()

    @property
    def start_ms(self) -> int:
        """The first instant inside."""
        return self.end_ms - self.length_ms

    def _include(self, kinds: dict[str, Counts]) -> None:
        for kind, counts in kinds.items():
            _add(self._sums, kind, counts)

    def note(self, pane: int, kind: str, counts: Counts) -> None:
        """Counts were added to a pane of the series: take them in if the pane is inside."""
        if self.end_ms - self.length_ms <= pane < self.end_ms:
            _add(self._sums, kind, counts)
            self.is_changed = True
            if pane < self._oldest:
                self._set_oldest(pane)

    def advance(self, end_ms: int) -> bool:
        """Move the end forward; panes behind the new start leave, panes up to the end enter.

        Returns whether any did.
        """
        old_end = self.end_ms
        if end_ms <= old_end:
            return False
        if end_ms - self.length_ms <= self._oldest and not self._panes.reaches(old_end):
            self.end_ms = end_ms  # The commonest case by far: nothing leaves, nothing enters.
            return False
        old_start = self.start_ms
        self.end_ms = end_ms
        for _pane, kinds in self._panes.between(old_start, min(self.start_ms, old_end)):
            for kind, counts in kinds.items():
                self._sums[kind].subtract(counts)
        for _pane, kinds in self._panes.between(max(old_end, self.start_ms), end_ms):
            self._include(kinds)
        self._sums = {kind: sums for kind, sums in self._sums.items() if sums.mentions}
        self.is_changed = True
        self._look_for_oldest()
        return True

    def _look_for_oldest(self) -> None:
        pane = self._panes.first_from(self.start_ms)
        self._set_oldest(NEVER_MS if pane is None or pane >= self.end_ms else pane)

    def _set_oldest(self, pane: int) -> None:
        self._oldest = pane
        exit_ms = self.next_exit_ms()
        self.exit_due_ms = (
            NEVER_MS if exit_ms is None else -(-exit_ms // self.step_ms) * self.step_ms
        )

    def next_exit_ms(self) -> int | None:
        """When the oldest pane inside leaves; none where the window is empty."""
        # A pane leaves whole, as soon as the window starts behind the pane's own start.
        return None if self._oldest == NEVER_MS else self._oldest + self.length_ms + PANE_MS

    def kinds(self) -> list[str]:
        """Kinds with a mention inside, sorted."""
        return sorted(self._sums)

    def of(self, kind: str) -> Counts:
        """The sums of one kind: to be read, not kept or changed."""
        return self._sums.get(kind, _NOTHING)

    def sums(self, kinds: Iterable[str] | None = None) -> Counts:
        """The sums over the given kinds, or over all: to be read, not kept or changed."""
        known = self._sums
        chosen = list(known) if kinds is None else [kind for kind in kinds if kind in known]
        if len(chosen) == 1:
            return known[chosen[0]]
        result = Counts()
        for kind in chosen:
            result.add(known[kind])
        return result


_NOTHING = Counts()


def _add(sums: dict[str, Counts], kind: str, counts: Counts) -> None:
    known = sums.get(kind)
    if known is None:
        known = sums[kind] = Counts()
    known.add(counts)
