"""Sliding windows as running sums of panes: the cost of a mention does not grow with the window."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator

from undertone.settings import PANE_MS
from undertone.trends.panes import Counts, pane_of, stories_in, unpack

HOUR_MS = 3_600_000
# Later than any instant.
NEVER_MS = 1 << 62


def step_of(window_ms: int) -> int:
    """How often a window is written: the lesser of a fifth of it and an hour, in whole panes."""
    return max(PANE_MS, pane_of(min(window_ms // 5, HOUR_MS)))


class PaneSeries:
    """The panes of one subject by time and kind, oldest first, as three columns to be read.

    `starts` holds the start of each pane, once for each of its kinds; `sums` the packed counts.
    """

    __slots__ = ("kinds", "starts", "sums")

    def __init__(self) -> None:
        self.starts = array("q")
        self.kinds: list[str] = []
        self.sums: list[int] = []

    def add(self, pane: int, kind: str, packed: int) -> None:
        """Add packed counts to one pane."""
        starts = self.starts
        place = bisect_left(starts, pane) if starts and pane <= starts[-1] else len(starts)
        while place < len(starts) and starts[place] == pane:
            if self.kinds[place] == kind:
                self.sums[place] += packed
                return
            place += 1
        starts.insert(place, pane)
        self.kinds.insert(place, kind)
        self.sums.insert(place, packed)

    def between(self, start: int, end: int) -> Iterator[tuple[int, str, int]]:
        """Pane, kind and packed counts of the panes that start in `[start, end)`, oldest first."""
        low = bisect_left(self.starts, start)
        high = bisect_left(self.starts, end, low)
        return zip(self.starts[low:high], self.kinds[low:high], self.sums[low:high], strict=True)

    def drop_before(self, start: int) -> None:
        """Forget panes that start before `start`."""
        index = bisect_left(self.starts, start)
        del self.starts[:index], self.kinds[:index], self.sums[:index]


class SlidingWindow:
    """The sums over `[end − length, end)` of a PaneSeries, per kind, as `end` moves forward.

    Its end may be left behind and moved on when somebody looks: panes that came meanwhile enter
    then. `step_due_ms` is the next of its steps (see `step_of`) after something has changed,
    `exit_due_ms` the first at which a pane has left it; NEVER_MS where there is none. So what is
    asked at every event, "does anything move?", costs a comparison. `by_kind` holds the packed
    sums, to be read, of the kinds with a mention inside.
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
        self.by_kind: dict[str, int] = {}
        start = end_ms - length_ms
        self._enter(bisect_left(panes.starts, start))
        self._look_for_oldest(bisect_left(panes.starts, start))

    @property
    def start_ms(self) -> int:
        """The first instant inside."""
        return self.end_ms - self.length_ms

    def note(self, pane: int, kind: str, packed: int) -> None:
        """Counts were added to a pane of the series: take them in if the pane is inside."""
        if self.end_ms - self.length_ms <= pane < self.end_ms:
            self.by_kind[kind] = self.by_kind.get(kind, 0) + packed
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
        starts = self._panes.starts
        is_entered = bool(starts) and starts[-1] >= old_end
        if start > self._oldest:
            first = self._leave(min(start, old_end))
            if is_entered:
                self._enter(bisect_left(starts, max(old_end, start), first))
            self._look_for_oldest(bisect_left(starts, start, first))
            # Whoever has moved it between its steps: the next one must tell.
            self.change_at(end_ms - PANE_MS)
        elif is_entered:
            place = bisect_left(starts, max(old_end, start))
            self._enter(place)
            if self._oldest == NEVER_MS:
                self._look_for_oldest(place)

    def _leave(self, until: int) -> int:
        """Take out the panes before `until`; returns the place of the first that stays."""
        panes, by_kind = self._panes, self.by_kind
        starts, kinds, sums = panes.starts, panes.kinds, panes.sums
        place = bisect_left(starts, self._oldest)
        while place < len(starts) and starts[place] < until:
            kind = kinds[place]
            left = by_kind[kind] - sums[place]
            if left:
                by_kind[kind] = left
            else:
                del by_kind[kind]
            place += 1
        return place

    def _enter(self, place: int) -> None:
        """Take in the panes from a place in the series on."""
        panes, by_kind, end = self._panes, self.by_kind, self.end_ms
        starts = panes.starts
        while place < len(starts) and starts[place] < end:
            kind = panes.kinds[place]
            by_kind[kind] = by_kind.get(kind, 0) + panes.sums[place]
            place += 1

    def _look_for_oldest(self, place: int) -> None:
        """The oldest pane inside stands at this place of the series, if any does."""
        starts = self._panes.starts
        inside = place < len(starts) and starts[place] < self.end_ms
        self._set_oldest(starts[place] if inside else NEVER_MS)

    def _set_oldest(self, pane: int) -> None:
        self._oldest = pane
        if pane == NEVER_MS:
            self.exit_due_ms = NEVER_MS
        else:
            # A pane leaves whole, as soon as the window starts behind the pane's own start.
            self.exit_due_ms = -(-(pane + self.length_ms + PANE_MS) // self.step_ms) * self.step_ms

    def packed(self, kinds: Collection[str] | None = None) -> int:
        """The packed sum over the given kinds, or over all."""
        known = self.by_kind
        if len(known) == 1:
            ((kind, sums),) = known.items()
            return sums if kinds is None or kind in kinds else 0
        return sum(known.values() if kinds is None else [known.get(kind, 0) for kind in kinds])

    def stories(self, kinds: Collection[str] | None = None) -> int:
        """How many stories of the given kinds, or of all, it holds."""
        return stories_in(self.packed(kinds))

    def sums(self, kinds: Collection[str] | None = None) -> Counts:
        """The sums over the given kinds, or over all."""
        return Counts(*unpack(self.packed(kinds)))
