"""The report of a replay: one HTML file that needs no network, no script and no other file.

What it shows is bounded, so that a browser opens it however much was found: `CARDS` alerts with
their evidence (the most surprising), `CHARTS` timelines (the subjects with the most alerts),
`ROWS` rows a table. What is left out is counted in the report; alerts.jsonl and trends.parquet
hold all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from undertone.alerting.verdict import tells
from undertone.errors import InputFileError
from undertone.pages.axis import Axis
from undertone.pages.panels import (
    UNUSUAL_SURPRISE,
    TonePanel,
    VolumePanel,
    tone_panel,
    volume_panel,
)
from undertone.pages.rendering import Style, environment
from undertone.pages.wording import duration
from undertone.records import Alert, AlertState, Evidence, Severity
from undertone.replay.optional import required
from undertone.replay.overlays import Overlay
from undertone.replay.report_charts import OverlayPanel, frontier, overlay_panel
from undertone.replay.report_wording import FILTERS
from undertone.replay.result import ReplayResult
from undertone.replay.timeline import BINS, Timeline
from undertone.truth import TruthEvent

CARDS = 400
CHARTS = 150
ROWS = 500
RANKED_SHOWN = 25  # the rest is folded
MARKS = 300  # alerts drawn in one chart
_EVIDENCE = 8
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class AlertView:
    """One alert: all its revisions that the replay saw."""

    rank: int
    first: Alert
    last: Alert
    evidence: tuple[Evidence, ...]
    rises: tuple[Alert, ...]
    is_false: bool | None  # None where there are no events to hold it against
    events: tuple[int, ...]  # the numbers of the events that it tells of

    @property
    def anchor(self) -> str:
        """Its id in the page."""
        return f"alert-{self.rank}"

    @property
    def first_stories(self) -> frozenset[str]:
        """The stories that it was told with at first."""
        return frozenset(item.message_id for item in self.first.evidence)

    @property
    def severity(self) -> Severity:
        """The highest that it reached."""
        return self.last.severity

    @property
    def resolved_ms(self) -> int | None:
        """When it ended, if it did."""
        return self.last.resolved_at


@dataclass(frozen=True)
class EventView:
    """One true event, and the first alert that tells of it."""

    number: int
    event: TruthEvent
    outcome: str  # found, missed, not judged
    delay_minutes: float | None
    alert: AlertView | None


@dataclass
class SubjectView:
    """One subject's section."""

    id: str
    name: str
    number: int
    alerts: list[AlertView] = field(default_factory=list)
    events: list[EventView] = field(default_factory=list)
    volume: VolumePanel | None = None
    tone: TonePanel | None = None
    overlays: list[OverlayPanel] = field(default_factory=list)

    @property
    def is_quiet(self) -> bool:
        """Nothing fired and nothing was expected to."""
        return not self.alerts and not self.events


def write_report(
    path: Path, result: ReplayResult, timeline: Timeline, overlays: Sequence[Overlay] = ()
) -> None:
    """Write the report to `path`. Equal results give equal bytes.

    Raises UsageError where jinja2 is missing, InputFileError where the file cannot be written.
    """
    required("jinja2", package="jinja2", purpose="report.html")
    template = environment(_TEMPLATES, FILTERS).get_template("report.html.j2")
    style = Style.of(_TEMPLATES / "report.css")
    part = path.with_name(f"{path.name}.part")
    try:
        template.stream(**_page(result, timeline, overlays), style=style).dump(
            str(part), encoding="utf-8", errors="replace"
        )
        part.replace(path)
    except OSError as error:
        raise InputFileError(f"{path}: cannot be written: {error}") from None


def _page(result: ReplayResult, timeline: Timeline, overlays: Sequence[Overlay]) -> dict[str, Any]:
    events = result.events or ()
    alerts = _alerts(result, events)
    judged = _events(result, events, alerts)
    axis = Axis(result.range.from_ms, max(result.range.until_ms, result.range.from_ms + 1))
    subjects = _subjects(result, alerts, judged)
    window = timeline.best_window()
    for subject in subjects[:CHARTS]:
        _draw(subject, timeline, window, overlays, axis)
    active = [subject for subject in subjects if not subject.is_quiet]
    return {
        "result": result,
        "range": result.range,
        "alerts": alerts,
        "open_alerts": sum(view.last.state is AlertState.FIRING for view in alerts),
        "events": judged,
        "names": {subject.id: subject.name for subject in subjects},
        "active": active,
        "quiet": [subject for subject in subjects if subject.is_quiet],
        "axis": axis,
        "ticks": axis.ticks(),
        "window": window,
        "bin": duration(timeline.bin_ms),
        # The bins of a range whose end was not known at first reach beyond it.
        "reach": round(
            100 * (timeline.end_ms() - timeline.from_ms) / (axis.until_ms - axis.from_ms), 3
        ),
        "frontier": frontier(result.sweep) if result.sweep else None,
        "unusual_surprise": UNUSUAL_SURPRISE,
        "limits": {
            "cards": CARDS,
            "charts": CHARTS,
            "rows": ROWS,
            "ranked": RANKED_SHOWN,
            "marks": MARKS,
        },
    }


def _alerts(result: ReplayResult, events: Sequence[TruthEvent]) -> list[AlertView]:
    """Every alert that told somebody, the most surprising first."""
    revisions: dict[str, list[Alert]] = {}
    for alert in result.alerts:
        revisions.setdefault(alert.id, []).append(alert)
    told = [
        sorted(known, key=lambda alert: alert.revision)
        for known in revisions.values()
        if any(alert.state is AlertState.FIRING for alert in known)
    ]
    told.sort(key=lambda known: (-known[0].surprise, known[0].started_at, known[0].id))
    false = set(result.verdict.false_alerts) if result.verdict else None
    happened: dict[str, list[tuple[int, TruthEvent]]] = {}
    for number, event in enumerate(events, start=1):
        happened.setdefault(event.subject, []).append((number, event))
    return [
        AlertView(
            rank=rank,
            first=known[0],
            last=known[-1],
            evidence=_evidence(known),
            rises=tuple(a for a in known[1:] if a.state is AlertState.FIRING),
            is_false=None if false is None else known[0].id in false,
            events=tuple(
                number
                for number, event in happened.get(known[0].subject, ())
                if any(tells(alert, event) for alert in known)
            ),
        )
        for rank, known in enumerate(told, start=1)
    ]


def _evidence(known: Iterable[Alert]) -> tuple[Evidence, ...]:
    """What it was told with at first, then what each rise added."""
    stories = {item.message_id: item for alert in known for item in alert.evidence}
    return tuple(stories.values())[:_EVIDENCE]


def _events(
    result: ReplayResult, events: Sequence[TruthEvent], alerts: Sequence[AlertView]
) -> list[EventView]:
    found = set(result.verdict.found) if result.verdict else set()
    missed = set(result.verdict.missed) if result.verdict else set()
    telling_of: dict[int, list[AlertView]] = {}
    for alert in alerts:
        for number in alert.events:
            telling_of.setdefault(number, []).append(alert)
    delays = iter(result.delays_minutes)  # of the negative events
    views = []
    for number, event in enumerate(events, start=1):
        delay = None if event.polarity == "positive" else next(delays, None)
        telling = telling_of.get(number, [])
        outcome = "found" if event in found else "missed" if event in missed else "not judged"
        first = min(telling, key=lambda view: view.first.detected_at, default=None)
        views.append(EventView(number, event, outcome, delay, first))
    return views


def _subjects(
    result: ReplayResult, alerts: Sequence[AlertView], events: Sequence[EventView]
) -> list[SubjectView]:
    """Subjects with the most alerts first, then those with events, then by name."""
    names = {id_: watched.name for id_, watched in result.subjects.items()}
    for view in alerts:
        names.setdefault(view.first.subject, view.first.name)
    for each in events:
        names.setdefault(each.event.subject, each.event.subject)
    views = {id_: SubjectView(id_, name, 0) for id_, name in names.items()}
    for view in alerts:
        views[view.first.subject].alerts.append(view)
    for each in events:
        views[each.event.subject].events.append(each)
    ordered = sorted(
        views.values(), key=lambda view: (-len(view.alerts), -len(view.events), view.name, view.id)
    )
    for number, subject in enumerate(ordered, start=1):
        subject.number = number
        subject.alerts.sort(key=lambda alert: (alert.first.detected_at, alert.rank))
    return ordered


def _draw(
    subject: SubjectView,
    timeline: Timeline,
    window: str | None,
    overlays: Sequence[Overlay],
    axis: Axis,
) -> None:
    series = timeline.series(subject.id, window) if window else None
    if series is not None:
        subject.volume = volume_panel(series)
        subject.tone = tone_panel(series)
    panels = [
        overlay_panel(overlay, axis, BINS)
        for overlay in overlays
        if overlay.subject in (None, subject.id)
    ]
    subject.overlays = [panel for panel in panels if panel is not None]
