"""Core: what the pages show, from what the board remembers.

What a page shows is bounded: `ROWS` subjects a page, `ENDED` alerts that ended on the first, `ROWS`
alerts in the list, `MARKS` alerts drawn in a chart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from undertone.board.history import BINS, Standing, WindowHistory, bin_of
from undertone.board.state import AlertHistory, BoardState, Subject
from undertone.durations import parse_duration
from undertone.pages.axis import Axis, Tick
from undertone.pages.panels import (
    UNUSUAL_SURPRISE,
    TonePanel,
    VolumePanel,
    tone_panel,
    volume_panel,
)
from undertone.pages.wording import duration
from undertone.records import Severity

ROWS = 200
ENDED = 8
MARKS = 100
_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Span:
    """A time in which an alert was open, in per cent of the width."""

    at: float
    width: float
    severity: Severity


@dataclass(frozen=True)
class Choice:
    """A window to look through, and how far back its bins reach."""

    window: str
    bin: str  # how long they are: 1h, 4 h
    reach: str  # 7 days

    @classmethod
    def of(cls, window: str) -> Choice:
        bin_ms = bin_of(window)
        as_long = bin_ms == parse_duration(window)
        return cls(window, window if as_long else duration(bin_ms), duration(bin_ms * BINS))


@dataclass(frozen=True)
class Chart:
    """A subject's window as the macro `timeline` draws it, with its axis."""

    number: int
    name: str
    choice: Choice
    axis: Axis
    volume: VolumePanel
    tone: TonePanel
    most: float  # stories of any bin
    alerts: Sequence[AlertHistory]
    overlays: tuple[()] = ()
    events: tuple[()] = ()

    @property
    def ticks(self) -> list[Tick]:
        return self.axis.ticks()

    @property
    def lane(self) -> list[Span]:
        """When alerts were open, the loudest last."""
        spans = []
        for alert in sorted(self.alerts, key=lambda alert: alert.severity.rank):
            at = self.axis.at(alert.first.started_at)
            until_ms = alert.resolved_ms if alert.resolved_ms is not None else self.axis.until_ms
            width = max(1.0, self.axis.at(until_ms) - at)
            spans.append(Span(min(at, 99.0), round(width, 2), alert.severity))
        return spans


@dataclass(frozen=True)
class Row:
    """A subject on the first page."""

    subject: Subject
    chart: Chart | None
    standing: Standing | None  # of the window that is looked through
    strongest: tuple[Standing, str] | None  # the most surprising window, and which
    open: Sequence[AlertHistory]

    @property
    def surprise(self) -> float:
        return self.strongest[0].surprise if self.strongest else 0.0


def nearest_window(windows: Iterable[str], to: str = "1h") -> str | None:
    """The window whose length is nearest to another, by ratio; of equals the first."""
    try:
        wanted_ms = parse_duration(to) or _HOUR_MS
    except ValueError:
        wanted_ms = _HOUR_MS

    def distance(window: str) -> float:
        return abs(math.log(parse_duration(window) / wanted_ms))

    return min(windows, key=distance, default=None)


def index(state: BoardState, window: str | None, page: int) -> dict[str, Any]:
    """The first page; a window that is not known is the usual one, a page beyond is the last."""
    windows = state.windows()
    if window not in windows:
        window = nearest_window(windows)
    alerts = state.alerts
    by_subject = _by_subject(alerts)
    ordered = sorted(
        state.subjects,
        key=lambda subject: _order(subject, by_subject.get(subject.id, ())),
    )
    pages = max(1, -(-len(ordered) // ROWS))
    page = min(max(1, page), pages)
    shown = ordered[(page - 1) * ROWS : page * ROWS]
    is_open = [alert for alert in alerts if alert.is_open]
    return {
        "window": window,
        "choices": [Choice.of(each) for each in windows],
        "rows": [_row(state, subject, window, by_subject.get(subject.id, ())) for subject in shown],
        "page": page,
        "pages": pages,
        "subjects": len(ordered),
        "left_out": state.left_out,
        "open": is_open[:ROWS],
        "opened": len(is_open),
        "worst": is_open[0].severity if is_open else None,
        "ended": [alert for alert in alerts if not alert.is_open][:ENDED],
        "unusual": UNUSUAL_SURPRISE,
    }


def alert_list(state: BoardState) -> dict[str, Any]:
    """The page of all alerts that are remembered."""
    alerts = state.alerts
    return {"alerts": alerts[:ROWS], "kept": len(alerts)}


def alert(state: BoardState, id: str) -> dict[str, Any] | None:
    """The page of one alert; None where it is not known."""
    found = state.alert(id)
    if found is None:
        return None
    subject = state.subject(found.last.subject)
    windows = {} if subject is None else subject.windows
    window = nearest_window(windows, found.last.window)
    chart = None
    if subject is not None and window is not None:
        chart = _chart(state, subject, windows[window], [found], 1)
    return {"alert": found, "chart": chart}


def subject(state: BoardState, id: str) -> dict[str, Any] | None:
    """The page of one subject; None where it is not known."""
    found = state.subject(id)
    if found is None:
        return None
    alerts = [alert for alert in state.alerts if alert.last.subject == id]
    windows = sorted(found.windows, key=parse_duration)
    return {
        "subject": found,
        "alerts": alerts,
        "charts": [
            _chart(state, found, found.windows[window], alerts[:MARKS], number)
            for number, window in enumerate(windows, start=1)
        ],
        "windows": [found.windows[window] for window in windows],
    }


def _by_subject(alerts: Iterable[AlertHistory]) -> dict[str, list[AlertHistory]]:
    found: dict[str, list[AlertHistory]] = {}
    for alert in alerts:
        found.setdefault(alert.last.subject, []).append(alert)
    return found


def _order(subject: Subject, alerts: Sequence[AlertHistory]) -> tuple[object, ...]:
    """Open alerts first, the loudest of them first; then what is unusual now; then by name."""
    loudest = max((alert.severity.rank for alert in alerts if alert.is_open), default=-1)
    strongest = _strongest(subject)
    surprise = strongest[0].surprise if strongest else 0.0
    unusual = surprise if surprise >= UNUSUAL_SURPRISE else 0.0
    return -loudest, -unusual, subject.name.casefold(), subject.id


def _strongest(subject: Subject) -> tuple[Standing, str] | None:
    known = [
        (history.standing, window)
        for window, history in subject.windows.items()
        if history.standing
    ]
    return max(known, key=lambda each: each[0].surprise, default=None)


def _row(
    state: BoardState, subject: Subject, window: str | None, alerts: Sequence[AlertHistory]
) -> Row:
    history = subject.windows.get(window) if window else None
    return Row(
        subject=subject,
        chart=None if history is None else _chart(state, subject, history, alerts[:MARKS], 0),
        standing=None if history is None else history.standing,
        strongest=_strongest(subject),
        open=[alert for alert in alerts if alert.is_open],
    )


def _chart(
    state: BoardState,
    subject: Subject,
    history: WindowHistory,
    alerts: Sequence[AlertHistory],
    number: int,
) -> Chart | None:
    bins = history.bins(state.clock_ms or 0)
    if bins is None:
        return None
    if number:  # a chart of its own begins where something is known; rows share one axis
        bins = bins.known()
    within = [
        alert for alert in alerts if alert.resolved_ms is None or alert.resolved_ms >= bins.from_ms
    ]
    return Chart(
        number=number,
        name=subject.name,
        choice=Choice.of(history.window),
        axis=Axis(bins.from_ms, bins.until_ms),
        volume=volume_panel(bins),
        tone=tone_panel(bins),
        most=float(np.nanmax(bins.stories_high)),
        alerts=within,
    )
