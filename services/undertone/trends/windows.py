"""Sliding windows as running sums of panes: the cost of a mention does not grow with the window."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from undertone.settings import PANE_MS
from undertone.trends.panes import Counts, pane_of

HOUR_MS = 3_600_000


def step_of(window_ms: int) -> int:
    """How often a window is written: the lesser of a fifth of it and an hour, in whole panes."""
    return max(PANE_MS, pane_of(min(window_ms // 5, HOUR_MS)))


class PaneSeries:
    """The panes of one subject, by time and kind, oldest first."""

    def __init__(self) -> None:
        self._panes: dict[int, dict[str, Counts]] = {}
        self._order: list[int] = []

    def add(self, pane: int, kind: str, counts: Counts) -> None:
        """Add counts to one pane."""
        kinds = self._panes.get(pane)
        if kinds is None:
            kinds = self._panes[pane] = {}
            insort(self._order, pane)
        kinds.setdefault(kind, Counts()).add(counts)

    def between(self, start: int, end: int) -> Iterator[tuple[int, dict[str, Counts]]]:
        """Panes that start in `[start, end)`, oldest first."""
        low, high = bisect_left(self._order, start), bisect_left(self._order, end)
        for pane in self._order[low:high]:
            yield pane, self._panes[pane]

    def first_from(self, start: int) -> int | None:
        """The first pane that starts at or after `start`."""
        index = bisect_left(self._order, start)
        return self._order[index] if index < len(self._order) else None

    def drop_before(self, start: int) -> None:
        """Forget panes that start before `start`."""
        index = bisect_left(self._order, start)
        for pane in self._order[:index]:
            del self._panes[pane]
        del self._order[:index]


class SlidingWindow:
    """The sums over `[end − length, end)` of a PaneSeries, per kind, as `end` moves forward."""

    def __init__(self, length_ms: int, panes: PaneSeries, end_ms: int = 0) -> None:
        self.length_ms = length_ms
        self.step_ms = step_of(length_ms)
        self.end_ms = end_ms
        self._panes = panes
        self._sums: dict[str, Counts] = {}
        for _pane, kinds in panes.between(self.start_ms, end_ms):
            self._include(kinds)

    @property
    def start_ms(self) -> int:
        """The first instant inside."""
        return self.end_ms - self.length_ms

    def _include(self, kinds: dict[str, Counts]) -> None:
        for kind, counts in kinds.items():
            self._sums.setdefault(kind, Counts()).add(counts)

    def note(self, pane: int, kind: str, counts: Counts) -> None:
        """Counts were added to a pane of the series: take them in if the pane is inside."""
        if self.start_ms <= pane < self.end_ms:
            self._sums.setdefault(kind, Counts()).add(counts)

    def advance(self, end_ms: int) -> None:
        """Move the end forward; panes behind the new start leave, panes up to the end enter."""
        if end_ms <= self.end_ms:
            return
        old_start, old_end = self.start_ms, self.end_ms
        self.end_ms = end_ms
        for _pane, kinds in self._panes.between(old_start, min(self.start_ms, old_end)):
            for kind, counts in kinds.items():
                self._sums[kind].subtract(counts)
        for _pane, kinds in self._panes.between(max(old_end, self.start_ms), end_ms):
            self._include(kinds)
        self._sums = {kind: sums for kind, sums in self._sums.items() if sums.mentions}

    def next_exit_ms(self) -> int | None:
        """When the oldest pane inside leaves; none where the window is empty."""
        pane = self._panes.first_from(self.start_ms)
        # A pane leaves whole, as soon as the window starts behind the pane's own start.
        return pane + self.length_ms + PANE_MS if pane is not None and pane < self.end_ms else None

    def kinds(self) -> list[str]:
        """Kinds with a mention inside, sorted."""
        return sorted(self._sums)

    def sums(self, kinds: Iterable[str] | None = None) -> Counts:
        """The sums over the given kinds, or over all."""
        chosen = self._sums if kinds is None else [kind for kind in kinds if kind in self._sums]
        result = Counts()
        for kind in sorted(chosen):
            result.add(self._sums[kind])
        return result
