"""What a person sees: a live table while the demo runs, and the summary at its end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from undertone.demo.session import DemoResult, DemoSession, percentile
from undertone.records import Alert, AlertState, Severity, TrendPoint, format_instant

SHOWN_SUBJECTS = 12
SUBJECT_WIDTH = 18
TREND_WINDOW = "24h"
REFRESH_PER_SECOND = 4
COLOURS = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.CRITICAL: "red"}
# Removed from external text: control characters, and those that turn the direction of writing.
CONTROLS = [*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F)]
PRINTABLE = dict.fromkeys([*CONTROLS, *range(8294, 8298)])


def plain(text: str) -> str:
    """External text without control characters or markup, safe for a terminal."""
    return escape(text.translate(PRINTABLE))


class Screen:
    """Redraws the live table; prints a line now and then where there is no terminal."""

    def __init__(self, session: DemoSession, console: Console) -> None:
        self._session = session
        self._console = console
        self._live: Live | None = None
        self._said_percent = -1

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the table for as long as the block runs."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=REFRESH_PER_SECOND) as live:
            self._live = live
            yield
            live.update(self._table())
        self._live = None

    def refresh(self) -> None:
        """Draw again, or say how far the stream has come."""
        if self._live is not None:
            self._live.update(self._table())
            return
        percent = round(100 * self._played())
        if percent // 25 > self._said_percent // 25:
            self._said_percent = percent
            self._console.print(
                f"{percent}% played: {self._session.sent.messages} messages sent, "
                f"{self._session.observer.mentions} mentions, "
                f"{len(self._session.observer.alerts())} alert revisions"
            )

    def _played(self) -> float:
        stream = self._session.stream
        done = self._session.sent.recorded_ms - stream.arrivals[0].at_ms
        return min(1.0, max(0.0, done / max(stream.span_ms, 1)))

    def _table(self) -> RenderableType:
        sent, observer = self._session.sent, self._session.observer
        firing = {alert.subject: alert for alert in open_alerts(observer.alerts())}
        moment = minute(sent.recorded_ms) if sent.recorded_ms else "starting"
        line = Text(f"{moment}   sent {sent.messages:,}   mentions {observer.mentions:,}")
        bar = ProgressBar(total=1.0, completed=self._played(), width=40)
        table = subject_table(plain(self._session.stream.name), self._subjects(), firing)
        return Group(table, line, bar)

    def _subjects(self) -> list[tuple[str, list[TrendPoint]]]:
        by_subject: dict[str, list[TrendPoint]] = defaultdict(list)
        for (subject, _kind, window), point in self._session.observer.trends().items():
            if window == TREND_WINDOW:
                by_subject[subject].append(point)
        loudest = sorted(
            by_subject.items(), key=lambda item: (-max(p.window_end for p in item[1]), item[0])
        )
        loudest = sorted(loudest, key=lambda item: (-sum(p.stories for p in item[1]), item[0]))
        return loudest[:SHOWN_SUBJECTS]


def subject_table(
    title: str, subjects: list[tuple[str, list[TrendPoint]]], firing: dict[str, Alert]
) -> Table:
    """The live table. All but its last column have their width, so that 80 columns do."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("subject", no_wrap=True, width=SUBJECT_WIDTH, overflow="ellipsis")
    table.add_column("tone", no_wrap=True, width=17)
    table.add_column("stories", justify="right", no_wrap=True, width=7)
    table.add_column("usual", justify="right", no_wrap=True, width=6)
    table.add_column("surprise", justify="right", no_wrap=True, width=8)
    table.add_column("alert")  # its cells cut themselves off
    for subject, points in subjects:
        table.add_row(*_row(subject, points, firing.get(subject)))
    table.caption = f"stories, usual and surprise over {TREND_WINDOW}"
    table.caption_justify = "left"
    return table


def minute(instant_ms: int) -> str:
    """A time to the minute, UTC: `2025-03-06 10:12`."""
    return format_instant(instant_ms)[:16].replace("T", " ")


def open_alerts(revisions: list[Alert]) -> list[Alert]:
    """The newest revision of each alert that has not resolved."""
    newest = {alert.id: alert for alert in revisions}
    return [alert for alert in newest.values() if alert.state is AlertState.FIRING]


def _row(subject: str, points: list[TrendPoint], alert: Alert | None) -> list[RenderableType]:
    stories = sum(point.stories for point in points)
    scored = sum(point.negative + point.neutral + point.positive for point in points)
    total = sum(
        (point.mean_score or 0.0) * (point.negative + point.neutral + point.positive)
        for point in points
    )
    return [
        plain(subject),
        tone_bar(total / scored if scored else 0.0),
        str(stories),
        f"{sum(point.expected_volume for point in points):.1f}",
        f"{max(point.surprise_negative_volume for point in points):.1f}",
        _firing(alert) if alert else "",
    ]


def _firing(alert: Alert) -> Text:
    text = f"● {alert.severity} {alert.rule}".translate(PRINTABLE)
    return Text(text, style=COLOURS[alert.severity], no_wrap=True, overflow="ellipsis")


def tone_bar(score: float) -> Text:
    """A score from −1 to 1 as a bar of eleven cells around its middle, and as a number."""
    cells = round(abs(score) * 5)
    left = "█" * cells if score < 0 else ""
    right = "█" * cells if score > 0 else ""
    return Text.assemble((left.rjust(5), "red"), "│", (right.ljust(5), "green"), f" {score:+.2f}")


def print_summary(result: DemoResult, console: Console) -> None:
    """The accounting, each alert with its evidence, detection times, truth against found."""
    console.print(_accounting(result))
    stories: dict[str, list[Alert]] = defaultdict(list)
    for alert in result.alerts:
        stories[alert.id].append(alert)
    for revisions in stories.values():
        console.print(_alert(revisions))
    if not stories:
        console.print("No alert fired.")
    if result.detection_seconds:
        median, worst = (percentile(result.detection_seconds, share) for share in (50, 99))
        console.print(
            f"From the sending of a tipping message to its alert: median {median:.2f} s, "
            f"99th percentile {worst:.2f} s."
        )
    if result.verdict is not None:
        console.print(_truth(result))


def _accounting(result: DemoResult) -> Table:
    table = Table(title="Accounting, in messages", title_justify="left")
    parts = ("scored", "unscored", "unmatched", "dead_letters")
    for name in ("messages in", "=", "scored", "unscored", "no subject", "dead letters"):
        table.add_column(name, justify="right")
    table.add_row(
        f"{result.counts['messages_in']:,}", "✓" if result.adds_up else "✗",
        *(f"{result.counts[part]:,}" for part in parts),
    )  # fmt: skip
    table.caption = f"{result.sent} sent, {result.rejected} rejected before sending, " + (
        f"{result.counts['mentions']} mentions (one for each subject that a message names)"
    )
    return table


def _alert(revisions: list[Alert]) -> Panel:
    told = [alert for alert in revisions if alert.state is AlertState.FIRING]
    lines = []
    for alert in told:
        verb = "fires" if alert.revision == 1 else "rises"
        lines.append(
            f"{minute(alert.detected_at)}  {verb} as [{COLOURS[alert.severity]}]"
            f"{alert.severity}[/]: {alert.signal} over {alert.window} is {alert.observed:g}, "
            f"usual {alert.expected:.2g}, surprise {alert.surprise:.1f}"
        )
    newest = told[-1]
    factors = newest.factors
    lines.append(
        f"because volume ×{factors.volume:.1f}, tone ×{factors.tone:.1f}, "
        f"novelty ×{factors.novelty:.1f}"
    )
    for item in newest.evidence:
        mark = "►" if item.message_id == newest.tipping.message_id else "•"
        lines.append(f"  {mark} {minute(item.published_at)}  {plain(item.excerpt)}")
    if revisions[-1].state is AlertState.RESOLVED:
        lines.append(f"{minute(revisions[-1].detected_at)}  resolved")
    return Panel(
        "\n".join(lines),
        title=f"{plain(newest.name)} · {plain(newest.rule)}",
        title_align="left",
        border_style=COLOURS[newest.severity],
    )


def _truth(result: DemoResult) -> Table:
    assert result.verdict is not None
    table = Table(title="Truth against found", title_justify="left")
    for name in ("", "subject", "what happened"):
        table.add_column(name)
    for event in result.verdict.found:
        table.add_row("[green]found[/]", plain(event.subject), plain(event.description))
    for event in result.verdict.missed:
        table.add_row("[red]missed[/]", plain(event.subject), plain(event.description))
    by_id = {alert.id: alert for alert in result.alerts}
    for alert_id in result.verdict.false_alerts:
        alert = by_id[alert_id]
        table.add_row("[red]false[/]", plain(alert.subject), f"{plain(alert.rule)}: no such event")
    return table
