"""Sliding windows as running sums of panes: the cost of a mention does not grow with the window."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

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

    Its end may be left behind and moved on when somebody looks: panes that came meanwhile enter
    then. `step_due_ms` is the next of its steps (see `step_of`) after something has changed,
    `exit_due_ms` the first at which a pane has left it; NEVER_MS where there is none. So what is
    asked at every event, "does anything move?", costs a comparison. `by_kind` holds the sums, to be
    read, of the kinds with a mention inside.
    """

    __slots__ = (
        "_oldest",
        "_panes",
        "by_kind",
        "end_ms",
        "exit_due_ms",
        "length_ms",
        "step_due_ms",
        "step_ms",
    )

    def __init__(self, length_ms: int, panes: PaneSeries, end_ms: int = 0) -> None:
        self.length_ms = length_ms
        self.step_ms = step_of(length_ms)
        self.end_ms = end_ms
        self.step_due_ms = NEVER_MS
        self._panes = panes
        self.by_kind: dict[str, Counts] = {}
        for _pane, kinds in panes.between(self.start_ms, end_ms):
            self._include(kinds)
        self._look_for_oldest()

    @property
    def start_ms(self) -> int:
        """The first instant inside."""
        return self.end_ms - self.length_ms

    def _include(self, kinds: dict[str, Counts]) -> None:
        for kind, counts in kinds.items():
            _add(self.by_kind, kind, counts)

    def note(self, pane: int, kind: str, counts: Counts) -> None:
        """Counts were added to a pane of the series: take them in if the pane is inside."""
        if self.end_ms - self.length_ms <= pane < self.end_ms:
            _add(self.by_kind, kind, counts)
            if pane < self._oldest:
                self._set_oldest(pane)

    def change_at(self, now_ms: int) -> None:
        """Something of it changes at this moment: its next step must tell."""
        if self.step_due_ms == NEVER_MS:
            self.step_due_ms = now_ms - now_ms % self.step_ms + self.step_ms

    def advance(self, end_ms: int) -> None:
        """Move the end forward; panes behind the new start leave, panes up to the end enter."""
        old_end = self.end_ms
        if end_ms <= old_end:
            return
        self.end_ms = end_ms
        start = end_ms - self.length_ms
        is_left, is_entered = start > self._oldest, self._panes.reaches(old_end)
        if is_left:
            for _pane, kinds in self._panes.between(old_end - self.length_ms, min(start, old_end)):
                for kind, counts in kinds.items():
                    self.by_kind[kind].subtract(counts)
        if is_entered:
            for _pane, kinds in self._panes.between(max(old_end, start), end_ms):
                self._include(kinds)
        if is_left:
            self.by_kind = {kind: sums for kind, sums in self.by_kind.items() if sums.mentions}
            # Whoever has moved it between its steps: the next one must tell.
            self.change_at(end_ms - PANE_MS)
        if is_left or is_entered:
            self._look_for_oldest()

    def _look_for_oldest(self) -> None:
        pane = self._panes.first_from(self.end_ms - self.length_ms)
        self._set_oldest(NEVER_MS if pane is None or pane >= self.end_ms else pane)

    def _set_oldest(self, pane: int) -> None:
        self._oldest = pane
        if pane == NEVER_MS:
            self.exit_due_ms = NEVER_MS
        else:
            # A pane leaves whole, as soon as the window starts behind the pane's own start.
            self.exit_due_ms = -(-(pane + self.length_ms + PANE_MS) // self.step_ms) * self.step_ms

    def of(self, kind: str) -> Counts:
        """The sums of one kind: to be read, not kept or changed."""
        return self.by_kind.get(kind, _NOTHING)

    def sums(self, kinds: Sequence[str] | None = None) -> Counts:
        """The sums over the given kinds, or over all: to be read, not kept or changed."""
        known = self.by_kind
        if len(known) == 1:
            ((kind, sums),) = known.items()
            return sums if kinds is None or kind in kinds else _NOTHING
        result = Counts()
        for kind in known if kinds is None else kinds:
            if kind in known:
                result.add(known[kind])
        return result


_NOTHING = Counts()


def _add(sums: dict[str, Counts], kind: str, counts: Counts) -> None:
    known = sums.get(kind)
    if known is None:
        known = sums[kind] = Counts()
    known.add(counts)
