"""What `undertone replay` shows: a progress bar while it runs, a summary at its end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from undertone.records import format_instant

if TYPE_CHECKING:
    from undertone.replay.result import ReplayResult
    from undertone.replay.session import Watching
    from undertone.replay.steps import Advance, Counts

SHOWN = 15


@contextmanager
def watched(console: Console) -> Iterator[Watching]:
    """A progress bar, and Ctrl-C that asks the replay to end with what it has."""
    from undertone.replay.session import Watching

    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            meter = _Meter(bar)
            yield Watching(meter.show, lambda: bool(received))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Meter:
    """One bar a stage, with its rate."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tasks: dict[str, Any] = {}

    def show(self, what: str, advance: Advance, counts: Counts) -> None:
        """Move the bar of a stage."""
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=None, status="")
        task = self._bar.tasks[self._tasks[what]]
        status = f"{counts.read:,} messages"
        if task.elapsed and what != "sweep":
            status += f", {counts.read / task.elapsed:,.0f} a second"
        self._bar.update(
            self._tasks[what], completed=advance.done, total=advance.total or None, status=status
        )


def print_result(result: ReplayResult, out: Path) -> None:
    """A summary for a person, the most surprising alerts first."""
    console = Console()
    if result.partial:
        console.print("Interrupted: this is a partial report.", style="yellow")
    covered = result.range
    console.print(
        f"{result.messages:,} messages, {result.mentions:,} mentions, "
        f"{format_instant(covered.from_ms)} to {format_instant(covered.until_ms)}, "
        f"{result.messages_per_second:,.0f} messages a second"
    )
    events = result.event_figures
    if events is not None and events.total:
        precision = "–" if result.precision is None else f"{result.precision:.0%}"
        console.print(f"{events.found} of {events.total} events found, precision {precision}")
        if events.found:
            console.print(
                f"delay: median {events.median_delay_minutes:,.1f} min, "
                f"worst {events.worst_delay_minutes:,.1f} min"
            )
    console.print(f"{result.alerts_per_subject_month:.2f} alerts per subject and month")
    table = Table("surprise", "started", "subject", "rule", "severity", box=None, pad_edge=False)
    for alert in result.ranked[:SHOWN]:
        table.add_row(
            f"{alert.surprise:.1f}",
            format_instant(alert.started_at),
            alert.subject,
            alert.rule,
            alert.severity.value,
        )
    console.print(table)
    if len(result.ranked) > SHOWN:
        console.print(f"… and {len(result.ranked) - SHOWN} more")
    for note in result.notes:
        console.print(f"note: {note}", style="dim")
    console.print(f"report: {out / 'report.html'}")
